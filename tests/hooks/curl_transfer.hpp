/// libcurl, as the tests of the hooks use it.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include <curl/curl.h>

namespace coir::testing {

/// A transfer of libcurl's whose page is kept in a string.
class transfer {
 public:
  /// `ca_file`: the only authority that is trusted.
  explicit transfer(const std::string& ca_file = {}) : curl_(curl_easy_init()) {
    curl_easy_setopt(curl_.get(), CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl_.get(), CURLOPT_NOPROXY, "*");
    if (!ca_file.empty()) curl_easy_setopt(curl_.get(), CURLOPT_CAINFO, ca_file.c_str());
    curl_easy_setopt(curl_.get(), CURLOPT_WRITEDATA, &page_);
    curl_easy_setopt(curl_.get(), CURLOPT_WRITEFUNCTION, &append);
  }

  CURLcode perform(const std::string& url) {
    page_.clear();
    curl_easy_setopt(curl_.get(), CURLOPT_URL, url.c_str());
    return curl_easy_perform(curl_.get());
  }
  const std::string& page() const { return page_; }
  long status() const {
    long status = 0;
    curl_easy_getinfo(curl_.get(), CURLINFO_RESPONSE_CODE, &status);
    return status;
  }

 private:
  struct clean_up {
    void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
  };

  static std::size_t append(char* data, std::size_t, std::size_t bytes, void* page) {
    static_cast<std::string*>(page)->append(data, bytes);
    return bytes;
  }

  std::unique_ptr<CURL, clean_up> curl_;
  std::string page_;
};

}  // namespace coir::testing
