/// What the tests of net share. All fibers of a test run on one thread; a test waits for others
/// with a bound, and lets them reach their wait by yielding: a fiber that was spawned runs until it
/// parks before yield() returns.
#pragma once

#include <coir/coir.hpp>
#include <coir/net.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include <unistd.h>

namespace coir::net::test {

using namespace std::chrono_literals;

/// The bound of waits that should end at once.
inline constexpr auto patience = 20s;
/// "Promptly", on a loaded machine.
inline constexpr auto promptly = 100ms;

/// Time since it was made.
class stopwatch {
 public:
  std::chrono::steady_clock::duration elapsed() const {
    return std::chrono::steady_clock::now() - start_;
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// A wait of `length` ended by its deadline, neither early nor late. Early by a tenth is the
/// clock's grain.
inline void expect_lasted(const stopwatch& since, std::chrono::milliseconds length) {
  EXPECT_GE(since.elapsed(), length - length / 10);
  EXPECT_LE(since.elapsed(), length + 500ms);
}

/// How many descriptors the process has open.
inline std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& each : std::filesystem::directory_iterator("/proc/self/fd")) {
    ++count;
  }
  return count;
}

/// Bytes that tell their place: no two stretches of them look alike.
class pattern {
 public:
  explicit pattern(std::uint64_t seed = 1) : state_(seed) {}
  unsigned char next() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<unsigned char>(state_ >> 56);
  }
  std::vector<unsigned char> take(std::size_t size) {
    std::vector<unsigned char> bytes(size);
    for (auto& each : bytes) each = next();
    return bytes;
  }

 private:
  std::uint64_t state_;
};

/// The error that a call throws; empty when it throws none.
template <class Call>
std::error_code thrown_by(Call call) {
  try {
    call();
  } catch (const std::system_error& e) {
    return e.code();
  }
  return {};
}

/// The text of the error that a call throws.
template <class Call>
std::string text_thrown_by(Call call) {
  try {
    call();
  } catch (const std::system_error& e) {
    return e.what();
  }
  return "nothing thrown";
}

/// Two ends of one connection.
template <class Stream>
struct connection {
  Stream near;
  Stream far;
};

/// A TCP connection over the loopback address of that family.
inline connection<tcp_stream> tcp_connection(const address& loopback = address::ipv4_loopback()) {
  tcp_listener listener = tcp_listener::listen(loopback);
  listener.expires_after(patience);
  tcp_stream near = tcp_stream::connect(listener.local_address(), patience);
  return {std::move(near), listener.accept()};
}

/// Small kernel buffers, so that a writer soon waits.
inline void shrink_buffers(const stream& s) {
  const int size = 4096;
  ASSERT_EQ(0, setsockopt(s.native_handle(), SOL_SOCKET, SO_SNDBUF, &size, sizeof size));
  ASSERT_EQ(0, setsockopt(s.native_handle(), SOL_SOCKET, SO_RCVBUF, &size, sizeof size));
}

/// Writes until nothing more fits.
inline void fill(stream& s) {
  const std::vector<char> block(1 << 16);
  std::error_code ec;
  s.writes_expire_after(50ms);
  while (!ec) s.write_all(block, ec);
  ASSERT_EQ(ec, std::errc::timed_out);
  s.writes_expire_never();
}

/// Reads until the end of the stream; how many bytes it was.
inline std::size_t drain(stream& s) {
  std::vector<char> block(1 << 16);
  std::size_t count = 0;
  while (const std::size_t more = s.read_some(block)) count += more;
  return count;
}

/// A directory of its own, removed at the end.
class scratch_directory {
 public:
  scratch_directory() {
    char name[] = "/tmp/coir-net-XXXXXX";
    path_ = mkdtemp(name);
  }
  ~scratch_directory() { std::filesystem::remove_all(path_); }
  std::string operator/(const char* name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace coir::net::test
