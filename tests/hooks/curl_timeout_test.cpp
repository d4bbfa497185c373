// A deadline over a transfer of libcurl's, a C library that knows nothing of fibers: its calls
// fail, it cleans up and returns, and the exception comes once control is in C++ again.
#include <coir/timeout.hpp>

#include "tests/hooks/curl_transfer.hpp"
#include "tests/hooks/support.hpp"

#include <string>

#include <arpa/inet.h>
#include <netinet/in.h>

namespace {

using namespace coir::testing;

/// Answers each connection on loopback with one small page, or with nothing at all.
class http_server {
 public:
  explicit http_server(bool answers) : listener_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(0, ::bind(listener_.fd, reinterpret_cast<sockaddr*>(&address), sizeof address));
    socklen_t length = sizeof address;
    EXPECT_EQ(0, ::getsockname(listener_.fd, reinterpret_cast<sockaddr*>(&address), &length));
    EXPECT_EQ(0, ::listen(listener_.fd, 8));
    url_ = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + "/";
    fiber_ = coir::spawn([this, answers] { serve(answers); });
  }
  http_server(const http_server&) = delete;
  ~http_server() { fiber_.kill(); }

  const char* url() const { return url_.c_str(); }
  /// How many requests have come.
  int requests() const { return requests_; }

 private:
  /// Until the fiber is killed, which ends accept with an error.
  void serve(bool answers) {
    for (int peer; (peer = ::accept(listener_.fd, nullptr, nullptr)) >= 0;) {
      const descriptor connection(peer);
      char request[4096];
      if (::recv(peer, request, sizeof request, 0) <= 0) continue;
      ++requests_;
      if (answers) {
        const std::string page = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage";
        EXPECT_EQ(static_cast<ssize_t>(page.size()), ::send(peer, page.data(), page.size(), 0));
      } else {
        while (::recv(peer, request, sizeof request, 0) > 0) continue;  // until the client goes
      }
    }
  }

  descriptor listener_;
  std::string url_;
  int requests_ = 0;
  coir::fiber<> fiber_;
};

TEST(TimeoutOverATransfer, EndsItAndIsThrownInCppAndTheHandleCanBeUsedAgain) {
  http_server silent(false);
  http_server answering(true);
  bystander other;
  transfer t;
  CURLcode code = CURLE_OK;
  const stopwatch watch;
  EXPECT_THROW(
      {
        coir::timeout_scope limit(50ms);
        code = t.perform(silent.url());
      },
      coir::timeout);
  EXPECT_NE(CURLE_OK, code) << "libcurl saw that its call had failed, and returned";
  EXPECT_LT(watch.elapsed(), patience);
  EXPECT_EQ(1, silent.requests());
  EXPECT_GT(other.turns(), 1) << "others ran meanwhile";

  EXPECT_EQ(CURLE_OK, t.perform(answering.url()));
  EXPECT_EQ("page", t.page());
}

TEST(TimeoutOverATransfer, LeavesOneAloneThatEndsInTime) {
  http_server answering(true);
  transfer t;
  EXPECT_EQ(CURLE_OK, coir::with_timeout(patience, [&] { return t.perform(answering.url()); }));
  EXPECT_EQ("page", t.page());
}

}  // namespace
