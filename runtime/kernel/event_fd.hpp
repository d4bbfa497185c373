/// An eventfd by which other threads wake a reactor out of its wait.
#pragma once

#include "runtime/kernel/calls.hpp"

#include <cstdint>

#include <sys/eventfd.h>

#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

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
    const int fd = fd_;
    release_to_taker();
    write(fd, &one, sizeof one);
  }
  /// Makes it unreadable; how often it was signalled since the last time.
  std::uint64_t take() noexcept {
    std::uint64_t count = 0;
    if (read(fd_, &count, sizeof count) != sizeof count) return 0;
    acquire_from_signallers();
    return count;
  }

 private:
  // The race detector does not see that what was done before a signal is seen after a take.
#if defined(__SANITIZE_THREAD__)
  void release_to_taker() noexcept { __tsan_release(this); }
  void acquire_from_signallers() noexcept { __tsan_acquire(this); }
#else
  void release_to_taker() noexcept {}
  void acquire_from_signallers() noexcept {}
#endif

  int fd_;
};

}  // namespace coir::kernel
