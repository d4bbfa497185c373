/// What the runtime's tests share: fixtures, time bounds, descriptors that close themselves.
///
/// Time bounds are for loaded machines: a wait may end a little early by rounding and late by
/// seconds, never by orders of magnitude. Nothing here depends on how fast the machine is.
#pragma once

#include <coir/coir.hpp>

#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace coir::test {

using namespace std::chrono_literals;
using milliseconds = std::chrono::milliseconds;
using microseconds = std::chrono::microseconds;

#if defined(__SANITIZE_THREAD__)
inline constexpr int slowdown = 20;
#elif defined(__SANITIZE_ADDRESS__)
inline constexpr int slowdown = 10;
#else
inline constexpr int slowdown = 1;
#endif

/// Fewer rounds under sanitizers, so that a test takes about as long as without.
constexpr int scaled(int rounds) { return rounds < slowdown ? rounds : rounds / slowdown; }

/// The time since it was made.
class stopwatch {
 public:
  std::chrono::nanoseconds elapsed() const { return std::chrono::steady_clock::now() - start_; }
  milliseconds elapsed_ms() const { return std::chrono::duration_cast<milliseconds>(elapsed()); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// Expects that what began with `watch` took about `length`.
inline void expect_took(const stopwatch& watch, milliseconds length) {
  EXPECT_GE(watch.elapsed_ms(), length * 95 / 100 - 1ms);
  EXPECT_LE(watch.elapsed_ms(), length + 2s);
}

/// Expects that what began with `watch` did not wait for anything.
inline void expect_prompt(const stopwatch& watch) { EXPECT_LE(watch.elapsed_ms(), 2s); }

/// Lets others run until `condition()` is true; false when that has not come within ten seconds.
template <class Condition>
bool eventually(Condition condition) {
  const stopwatch watch;
  while (!condition()) {
    if (watch.elapsed() > 10s) return false;
    sleep(1ms);
  }
  return true;
}

/// A test on a thread that is a worker. No fiber may be left when it ends.
class runtime_test : public testing::Test {
 protected:
  void SetUp() override { backend(); }
  void TearDown() override {
    EXPECT_TRUE(eventually([] { return fiber_count() == 0; })) << "the test leaves fibers behind";
  }
};

/// A test whose EXPECT_EXIT statements run in a fresh process, in which coir was never used. The
/// statement must end the process with _exit, since a return counts as failure.
class fresh_process_test : public testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

/// While it lives, processes of EXPECT_EXIT do not look for leaks: a process that a fiber ends, not
/// main, still holds what the suspended stack of main refers to, and the address sanitizer does not
/// look there.
class without_leak_check {
 public:
  without_leak_check();
  without_leak_check(const without_leak_check&) = delete;
  without_leak_check& operator=(const without_leak_check&) = delete;
  ~without_leak_check();

 private:
  std::string kept_;
};

/// Matches a text that contains `part` exactly `times` times; for what a process of EXPECT_EXIT has
/// written to stderr.
class contains {
 public:
  using is_gtest_matcher = void;
  explicit contains(std::string part, int times = 1) : part_(std::move(part)), times_(times) {}

  bool MatchAndExplain(const std::string& text, std::ostream* = nullptr) const {
    int found = 0;
    for (auto at = text.find(part_); at != text.npos; at = text.find(part_, at + part_.size()))
      ++found;
    return found == times_;
  }
  void DescribeTo(std::ostream* out) const {
    *out << "says \"" << part_ << "\" " << times_ << " times";
  }
  void DescribeNegationTo(std::ostream* out) const { *out << "does not say \"" << part_ << '"'; }
  operator testing::Matcher<const std::string&>() const {
    return testing::Matcher<const std::string&>(*this);
  }

 private:
  std::string part_;
  int times_;
};

/// Matches a text that contains every one of `parts`.
class contains_all {
 public:
  using is_gtest_matcher = void;
  explicit contains_all(std::vector<std::string> parts) : parts_(std::move(parts)) {}

  bool MatchAndExplain(const std::string& text, std::ostream* = nullptr) const {
    for (const std::string& part : parts_) {
      if (text.find(part) == text.npos) return false;
    }
    return true;
  }
  void DescribeTo(std::ostream* out) const {
    for (const std::string& part : parts_) *out << "says \"" << part << "\", ";
  }
  void DescribeNegationTo(std::ostream* out) const { *out << "leaves something out"; }
  operator testing::Matcher<const std::string&>() const {
    return testing::Matcher<const std::string&>(*this);
  }

 private:
  std::vector<std::string> parts_;
};

/// Keeps what is written to stderr while it lives.
class stderr_capture {
 public:
  stderr_capture();
  stderr_capture(const stderr_capture&) = delete;
  stderr_capture& operator=(const stderr_capture&) = delete;
  ~stderr_capture();
  /// What was written so far.
  std::string text() const;

 private:
  int kept_;
  int file_;
};

/// How often `part` occurs in `text`.
inline int count_of(const std::string& text, const std::string& part) {
  int found = 0;
  for (auto at = text.find(part); at != text.npos; at = text.find(part, at + part.size())) ++found;
  return found;
}

/// Owns a file descriptor.
class descriptor {
 public:
  descriptor() noexcept = default;
  explicit descriptor(int fd) noexcept : fd_(fd) {}
  descriptor(descriptor&& other) noexcept : fd_(other.release()) {}
  descriptor& operator=(descriptor&& other) noexcept {
    reset(other.release());
    return *this;
  }
  ~descriptor() { reset(); }

  int get() const noexcept { return fd_; }
  int release() noexcept { return std::exchange(fd_, -1); }
  void reset(int fd = -1) noexcept {
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
  }

 private:
  int fd_ = -1;
};

struct pipe_ends {
  descriptor reader;
  descriptor writer;
};

struct socket_ends {
  descriptor one;
  descriptor other;
};

/// A listening TCP socket on the loopback with a port of the kernel's choice.
struct listener {
  descriptor socket;
  sockaddr_in address;
  const sockaddr* peer() const noexcept { return reinterpret_cast<const sockaddr*>(&address); }
};

/// Each throws std::system_error when the kernel refuses.
pipe_ends make_pipe(int flags = O_CLOEXEC);
socket_ends make_socket_pair(int type = SOCK_STREAM);
socket_ends make_tcp_pair();
listener make_listener(int backlog = 128);
/// A listener whose queue is full, so that a further connect stays pending. `filler` holds the
/// connections.
listener make_full_listener(std::vector<descriptor>& filler);
descriptor make_event();
/// An empty file without a name.
descriptor make_file();
/// Writes until the kernel takes no more, without waiting; returns how many bytes.
std::size_t fill(int fd);

/// The file status flags of `fd`.
inline int flags_of(int fd) { return ::fcntl(fd, F_GETFL); }

/// Passes the result of a cooperative call on, and ends a fiber that is being killed as net does.
inline long passed(long result) {
  if (result == -ECANCELED) detail::throw_if_interrupted();
  return result;
}

}  // namespace coir::test
