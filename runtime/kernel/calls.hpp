/// The system calls that coir makes, typed. Each returns the value or -errno and never blocks
/// unless it says so.
#pragma once

#include "runtime/kernel/syscall.hpp"

#include <cerrno>
#include <cstdint>
#include <ctime>

#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#if defined(__SANITIZE_THREAD__)
// Tells tsan of a close that it does not see, else it takes two owners of a number for one; gcc
// does not install the header.
extern "C" void __sanitizer_syscall_pre_impl_close(long fd);
#endif

namespace coir::kernel {

inline ssize_t recvfrom(int fd, void* data, std::size_t size, int flags, sockaddr* from,
                        socklen_t* from_size) noexcept {
  return call(SYS_recvfrom, fd, data, size, flags, from, from_size);
}
inline ssize_t recvmsg(int fd, msghdr* message, int flags) noexcept {
  return call(SYS_recvmsg, fd, message, flags);
}
inline ssize_t sendto(int fd, const void* data, std::size_t size, int flags, const sockaddr* to,
                      socklen_t to_size) noexcept {
  return call(SYS_sendto, fd, data, size, flags, to, to_size);
}
inline ssize_t sendmsg(int fd, const msghdr* message, int flags) noexcept {
  return call(SYS_sendmsg, fd, message, flags);
}
/// Blocks when `fd` is in blocking mode and nobody connects.
inline int accept4(int fd, sockaddr* peer, socklen_t* peer_size, int flags) noexcept {
  return static_cast<int>(call(SYS_accept4, fd, peer, peer_size, flags));
}
/// Blocks when `fd` is in blocking mode.
inline int connect(int fd, const sockaddr* peer, socklen_t peer_size) noexcept {
  return static_cast<int>(call(SYS_connect, fd, peer, peer_size));
}
inline int getsockopt(int fd, int level, int option, void* value, socklen_t* size) noexcept {
  return static_cast<int>(call(SYS_getsockopt, fd, level, option, value, size));
}
/// Blocks as the descriptor's mode says.
inline ssize_t readv(int fd, const iovec* parts, int count) noexcept {
  return call(SYS_readv, fd, parts, count);
}
/// Blocks as the descriptor's mode says.
inline ssize_t writev(int fd, const iovec* parts, int count) noexcept {
  return call(SYS_writev, fd, parts, count);
}
/// Offset -1 is the current position. With RWF_NOWAIT in `flags` it does not block. The kernel
/// wants the offset in two halves, of which the first holds all of it on 64 bits.
inline ssize_t preadv2(int fd, const iovec* parts, int count, off_t offset, int flags) noexcept {
  return call(SYS_preadv2, fd, parts, count, offset, 0, flags);
}
/// As preadv2.
inline ssize_t pwritev2(int fd, const iovec* parts, int count, off_t offset, int flags) noexcept {
  return call(SYS_pwritev2, fd, parts, count, offset, 0, flags);
}
/// Blocks on the disk.
inline int fsync(int fd) noexcept { return static_cast<int>(call(SYS_fsync, fd)); }
/// Blocks on the disk.
inline int fdatasync(int fd) noexcept { return static_cast<int>(call(SYS_fdatasync, fd)); }
inline int close(int fd) noexcept {
#if defined(__SANITIZE_THREAD__)
  __sanitizer_syscall_pre_impl_close(fd);
#endif
  return static_cast<int>(call(SYS_close, fd));
}
inline int fcntl(int fd, int command, long argument) noexcept {
  return static_cast<int>(call(SYS_fcntl, fd, command, argument));
}
/// Looks only: never waits.
inline int poll_now(pollfd* fds, nfds_t count) noexcept {
  constexpr timespec no_time{0, 0};
  // The kernel lets a signal interrupt even a look that does not wait.
  for (;;) {
    timespec left = no_time;
    const int ready = static_cast<int>(call(SYS_ppoll, fds, count, &left, nullptr, 0));
    if (ready != -EINTR) return ready;
  }
}
/// Blocks for `timeout`, without limit when that is null; changes it.
inline int ppoll(pollfd* fds, nfds_t count, timespec* timeout) noexcept {
  return static_cast<int>(call(SYS_ppoll, fds, count, timeout, nullptr, 0));
}
inline int epoll_create1(int flags) noexcept {
  return static_cast<int>(call(SYS_epoll_create1, flags));
}
inline int epoll_ctl(int epoll_fd, int what, int fd, epoll_event* event) noexcept {
  return static_cast<int>(call(SYS_epoll_ctl, epoll_fd, what, fd, event));
}
/// Blocks for `timeout_ms`, without limit when that is -1.
inline int epoll_wait(int epoll_fd, epoll_event* events, int capacity, int timeout_ms) noexcept {
  return static_cast<int>(
      call(SYS_epoll_pwait, epoll_fd, events, capacity, timeout_ms, nullptr, 8));
}
/// Blocks for `timeout`, without limit when that is null. -ENOSYS before Linux 5.11.
inline int epoll_pwait2(int epoll_fd, epoll_event* events, int capacity,
                        const timespec* timeout) noexcept {
  return static_cast<int>(call(SYS_epoll_pwait2, epoll_fd, events, capacity, timeout, nullptr, 8));
}
inline int eventfd2(unsigned value, int flags) noexcept {
  return static_cast<int>(call(SYS_eventfd2, value, flags));
}
/// One buffer; blocks as the descriptor's mode says.
inline ssize_t read(int fd, void* data, std::size_t size) noexcept {
  return call(SYS_read, fd, data, size);
}
/// One buffer; blocks as the descriptor's mode says.
inline ssize_t write(int fd, const void* data, std::size_t size) noexcept {
  return call(SYS_write, fd, data, size);
}
/// Sleeps while `*word` is `expected`.
inline void futex_wait(void* word, unsigned expected) noexcept {
  call(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, nullptr);
}
/// As futex_wait, but until `until` on CLOCK_MONOTONIC at the latest, in ns; INT64_MAX: no limit.
inline void futex_wait_until(void* word, unsigned expected, std::int64_t until) noexcept {
  const timespec limit{until / 1'000'000'000, until % 1'000'000'000};
  call(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, expected, until == INT64_MAX ? nullptr : &limit,
       nullptr, FUTEX_BITSET_MATCH_ANY);
}
inline void futex_wake(void* word, int how_many) noexcept {
  call(SYS_futex, word, FUTEX_WAKE_PRIVATE, how_many);
}
inline int madvise(void* start, std::size_t size, int advice) noexcept {
  return static_cast<int>(call(SYS_madvise, start, size, advice));
}

}  // namespace coir::kernel
