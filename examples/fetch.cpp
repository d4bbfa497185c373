// Fetches URLs, one fiber each, through libcurl's blocking calls.
//
// libcurl knows nothing of fibers. curl_easy_perform waits for its sockets in poll, and that poll
// is coir's hook, since the program is linked with coir::hooks: it parks the fiber, and another
// transfer goes on. So N transfers take as long as the slowest of them, on one thread. Names are
// looked up by libcurl in threads of its own, for which its fiber waits in the same poll.

#include "common/command_line.hpp"

#include <coir/coir.hpp>
#include <coir/hooks.hpp>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <list>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <curl/curl.h>
#include <signal.h>

namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

constexpr char usage[] =
    "usage: fetch [--timeout SECONDS] [--output-dir DIR] URL...\n"
    "Fetches all URLs at the same time and prints a line for each as it ends: HTTP status, bytes,\n"
    "time, URL. After SECONDS (30) in all it gives up what has not ended. With --output-dir the\n"
    "bodies are written to DIR/1, DIR/2 and so on, in the order of the URLs. The exit status is 1\n"
    "when a transfer failed, had an HTTP status of 400 or more, or did not end in time.\n";

struct options {
  std::chrono::milliseconds timeout = 30s;
  std::filesystem::path output_dir;
  std::vector<std::string> urls;
};

options parse(int argc, char** argv) {
  options result;
  example::command_line line;
  line.seconds("timeout", result.timeout).text("output-dir", result.output_dir);
  result.urls = line.arguments(argc, argv);
  if (result.timeout == 0s) throw example::usage_error("--timeout must be more than 0");
  if (result.urls.empty()) throw example::usage_error("no URL given");
  return result;
}

struct close_file {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
struct clean_up_curl {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
using file_handle = std::unique_ptr<std::FILE, close_file>;
using curl_handle = std::unique_ptr<CURL, clean_up_curl>;

/// One URL on its way. The address is known to libcurl while perform() runs.
class transfer {
 public:
  /// Writes the body to `output`, or only counts it when that is empty. Throws std::system_error
  /// when the file cannot be made, std::runtime_error when libcurl has no memory.
  transfer(std::string url, const std::filesystem::path& output);
  transfer(const transfer&) = delete;
  transfer& operator=(const transfer&) = delete;

  /// Fetches, parking in libcurl's calls, and prints the line. True when all is well.
  bool perform();
  /// Makes perform() come to its end soon; its line then says that the time was up. The fiber must
  /// be woken as well, which kill does.
  void give_up() { is_given_up_ = true; }

 private:
  static std::size_t on_body(char* data, std::size_t, std::size_t size, void* self) noexcept;
  static int on_progress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) noexcept;
  void configure();
  std::string failure_of(CURLcode code, long status);

  std::string url_;
  file_handle output_;
  curl_handle curl_;
  char error_text_[CURL_ERROR_SIZE] = "";
  std::size_t bytes_ = 0;
  bool is_given_up_ = false;
};

transfer::transfer(std::string url, const std::filesystem::path& output)
    : url_(std::move(url)), curl_(curl_easy_init()) {
  if (!curl_) throw std::runtime_error("libcurl: no memory for a transfer");
  if (!output.empty()) {
    output_.reset(std::fopen(output.c_str(), "wbe"));
    if (!output_) throw std::system_error(errno, std::system_category(), output.string());
  }
  configure();
}

void transfer::configure() {
  CURL* const curl = curl_.get();
  curl_easy_setopt(curl, CURLOPT_URL, url_.c_str());
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error_text_);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &transfer::on_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, this);
  // No alarm signal for time-outs: it would hit whatever fiber runs.
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  // A look-up that is given up is left behind; to join its thread would block this one.
  curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, &transfer::on_progress);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, this);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
}

bool transfer::perform() {
  const auto begin = steady_clock::now();
  const CURLcode code = curl_easy_perform(curl_.get());
  const std::chrono::duration<double> time = steady_clock::now() - begin;
  long status = 0;
  curl_easy_getinfo(curl_.get(), CURLINFO_RESPONSE_CODE, &status);
  const std::string failure = failure_of(code, status);
  std::printf("%3ld %9zu bytes %7.3f s  %s%s\n", status, bytes_, time.count(), url_.c_str(),
              failure.c_str());
  std::fflush(stdout);
  return failure.empty();
}

/// Closes the file, and says what went wrong if anything did.
std::string transfer::failure_of(CURLcode code, long status) {
  const bool is_written = !output_ || std::fclose(output_.release()) == 0;
  if (is_given_up_) return "  FAILED: not done in time";
  if (code != CURLE_OK) {
    return std::string("  FAILED: ") + (*error_text_ ? error_text_ : curl_easy_strerror(code));
  }
  if (status >= 400) return "  FAILED: the server refused it";
  return is_written ? "" : "  FAILED: the body cannot be written";
}

std::size_t transfer::on_body(char* data, std::size_t, std::size_t size, void* self) noexcept {
  transfer& t = *static_cast<transfer*>(self);
  t.bytes_ += size;
  return t.output_ ? std::fwrite(data, 1, size, t.output_.get()) : size;
}

// Not zero makes libcurl end the transfer; it asks after each wait.
int transfer::on_progress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) noexcept {
  return static_cast<transfer*>(self)->is_given_up_;
}

/// Transfers and the fibers that perform them.
class batch {
 public:
  batch() = default;
  batch(const batch&) = delete;
  batch& operator=(const batch&) = delete;
  /// Gives up what has not ended.
  ~batch() { give_up_rest(); }

  /// Starts fetching `url`; see transfer.
  void start(std::string url, const std::filesystem::path& output) {
    transfer& added = transfers_.emplace_back(std::move(url), output);
    fibers_.push_back(coir::spawn({.name = "fetch"}, [&added] { return added.perform(); }));
  }

  /// Parks until all have ended, for `timeout` at most, and gives up the rest; returns how many
  /// went well.
  std::size_t finish(std::chrono::milliseconds timeout) {
    coir::joinall(fibers_, timeout);
    give_up_rest();
    std::size_t good = 0;
    for (coir::fiber<bool>& fiber : fibers_) good += fiber.get();
    return good;
  }

 private:
  void give_up_rest() {
    auto fiber = fibers_.begin();
    for (transfer& each : transfers_) {
      if (fiber == fibers_.end()) break;  // its fiber could not be made
      if (!fiber->ready()) {
        each.give_up();
        fiber->kill(false);
      }
      ++fiber;
    }
    coir::joinall(fibers_);
  }

  std::list<transfer> transfers_;  ///< a list: fibers point into it
  std::vector<coir::fiber<bool>> fibers_;
};

/// libcurl's global state, for as long as it lives.
struct curl_library {
  curl_library() {
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
      throw std::runtime_error("libcurl cannot start");
    }
  }
  curl_library(const curl_library&) = delete;
  curl_library& operator=(const curl_library&) = delete;
  ~curl_library() { curl_global_cleanup(); }
};

int run(const options& how) {
  if (!coir::hooks::active()) throw std::runtime_error("the hooks are not in force");
  signal(SIGPIPE, SIG_IGN);  // TLS libraries write with write(2)
  const curl_library curl;
  if (!how.output_dir.empty()) std::filesystem::create_directories(how.output_dir);
  const auto begin = steady_clock::now();
  batch transfers;
  for (std::size_t i = 0; i < how.urls.size(); ++i) {
    const std::string name = std::to_string(i + 1);
    transfers.start(how.urls[i], how.output_dir.empty() ? "" : how.output_dir / name);
  }
  const std::size_t good = transfers.finish(how.timeout);
  const std::chrono::duration<double> time = steady_clock::now() - begin;
  std::printf("%zu of %zu in %.3f s (%s)\n", good, how.urls.size(), time.count(), coir::backend());
  return good == how.urls.size() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  return example::run_main("fetch", usage, [&] { return run(parse(argc, argv)); });
}
