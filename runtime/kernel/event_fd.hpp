/// An eventfd by which other threads wake a reactor out of its wait.
#pragma once

#include "runtime/kernel/calls.hpp"

#include <cstdint>

#include <sys/eventfd.h>

namespace coir::kernel {

class event_fd {
 public:
  event_fd() noexcept : fd_(eventfd2(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  event_fd(const event_fd&) = delete;
  event_fd& operator=(const event_fd&) = delete;
  ~event_fd() {
    if (fd_ >= 0) close(fd_);
  }

  /// The descriptor, or -errno when none could be made.
  int fd() const noexcept { return fd_; }
  /// Makes it readable. Any thread.
  void signal() noexcept {
    const std::uint64_t one = 1;
    write(fd_, &one, sizeof one);
  }
  /// Makes it unreadable; how often it was signalled since the last time.
  std::uint64_t take() noexcept {
    std::uint64_t count = 0;
    return read(fd_, &count, sizeof count) == sizeof count ? count : 0;
  }

 private:
  int fd_;
};

}  // namespace coir::kernel
