/// What the tests of the hooks share. They call plain libc functions: no coir::net, no io.
#pragma once

#include <coir/event.hpp>
#include <coir/fiber.hpp>

#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <string>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace coir::testing {

using namespace std::chrono_literals;

/// How long anything in these tests may take on a loaded machine.
inline constexpr auto patience = 20s;

/// Two descriptors, closed at the end of the test.
struct descriptor_pair {
  std::array<int, 2> fds{-1, -1};
  int operator[](std::size_t i) const { return fds[i]; }
  descriptor_pair() = default;
  descriptor_pair(const descriptor_pair&) = delete;
  ~descriptor_pair() {
    for (int fd : fds) {
      if (fd >= 0) ::close(fd);
    }
  }
};

/// [0] reads what [1] writes.
struct pipe_pair : descriptor_pair {
  explicit pipe_pair(int flags = 0) { EXPECT_EQ(0, ::pipe2(fds.data(), flags)); }
};

/// Both ends read and write.
struct socket_pair : descriptor_pair {
  explicit socket_pair(int type = SOCK_STREAM) {
    EXPECT_EQ(0, ::socketpair(AF_UNIX, type, 0, fds.data()));
  }
};

/// One descriptor, closed at the end of the test.
struct descriptor {
  int fd;
  explicit descriptor(int opened) : fd(opened) { EXPECT_GE(opened, 0); }
  descriptor(const descriptor&) = delete;
  ~descriptor() { ::close(fd); }
};

/// A fiber that takes a turn, again and again, until the test ends it: shows whether others run.
class bystander {
 public:
  bystander()
      : fiber_(coir::spawn([this] {
          for (;;) {
            ++turns_;
            coir::this_fiber::sleep_for(1ms);
          }
        })) {}
  ~bystander() { fiber_.kill(); }
  int turns() const { return turns_; }

 private:
  int turns_ = 0;
  coir::fiber<> fiber_;
};

/// Lets every fiber that is ready come as far as it can without something new happening.
inline void let_others_park() {
  for (int i = 0; i < 10; ++i) coir::this_fiber::yield();
}

/// What a call returned and the errno right after it, taken before the fiber gives up its worker.
struct outcome {
  long result;
  int error;
};

template <class Call>
outcome call(Call f) {
  errno = 0;
  const long result = f();
  return {result, errno};
}

class stopwatch {
 public:
  std::chrono::nanoseconds elapsed() const { return std::chrono::steady_clock::now() - start_; }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace coir::testing
