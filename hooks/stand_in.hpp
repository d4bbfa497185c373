/// System calls in the dress of libc functions, for those whose arguments do not go to the kernel
/// as they are. They stand in for the real functions where there are none yet (real.hpp), and use
/// errno as those do.
#pragma once

#include "hooks/finish.hpp"
#include "runtime/kernel/syscall.hpp"

#include <csignal>
#include <cstdint>
#include <ctime>

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

namespace coir::hooks::stand_in {

inline ssize_t recv(int fd, void* data, size_t size, int flags) {
  return finish(kernel::call(SYS_recvfrom, fd, data, size, flags, nullptr, nullptr));
}

inline ssize_t send(int fd, const void* data, size_t size, int flags) {
  return finish(kernel::call(SYS_sendto, fd, data, size, flags, nullptr, 0));
}

inline int dup2(int from, int to) noexcept {
  if (from == to) return ::fcntl(from, F_GETFD) < 0 ? -1 : to;
  return static_cast<int>(finish(kernel::call(SYS_dup3, from, to, 0)));
}

inline void closefrom(int first) noexcept {
  kernel::call(SYS_close_range, first < 0 ? 0U : static_cast<unsigned>(first), ~0U, 0U);
}

inline timespec to_timespec(long ns) noexcept {
  constexpr long second = 1'000'000'000;
  return {ns / second, ns % second};
}

inline int ppoll(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask) {
  timespec left = timeout ? *timeout : timespec{};  // the kernel writes the time that is left
  return static_cast<int>(
      finish(kernel::call(SYS_ppoll, fds, count, timeout ? &left : nullptr, mask, _NSIG / 8)));
}

inline int poll(pollfd* fds, nfds_t count, int timeout_ms) {
  const timespec timeout = to_timespec(timeout_ms * 1'000'000L);
  return stand_in::ppoll(fds, count, timeout_ms < 0 ? nullptr : &timeout, nullptr);
}

inline int pselect(int count, fd_set* readable, fd_set* writable, fd_set* exceptional,
                   const timespec* timeout, const sigset_t* mask) {
  timespec left = timeout ? *timeout : timespec{};
  const std::uintptr_t packed_mask[] = {reinterpret_cast<std::uintptr_t>(mask), _NSIG / 8};
  return static_cast<int>(finish(kernel::call(SYS_pselect6, count, readable, writable, exceptional,
                                              timeout ? &left : nullptr, packed_mask)));
}

inline int select(int count, fd_set* readable, fd_set* writable, fd_set* exceptional,
                  timeval* timeout) {
  timespec left;
  if (timeout)
    left = {timeout->tv_sec + timeout->tv_usec / 1'000'000, timeout->tv_usec % 1'000'000 * 1'000};
  return stand_in::pselect(count, readable, writable, exceptional, timeout ? &left : nullptr,
                           nullptr);
}

inline int epoll_pwait(int fd, epoll_event* events, int capacity, int timeout_ms,
                       const sigset_t* mask) {
  return static_cast<int>(
      finish(kernel::call(SYS_epoll_pwait, fd, events, capacity, timeout_ms, mask, _NSIG / 8)));
}

inline int epoll_wait(int fd, epoll_event* events, int capacity, int timeout_ms) {
  return stand_in::epoll_pwait(fd, events, capacity, timeout_ms, nullptr);
}

inline int epoll_pwait2(int fd, epoll_event* events, int capacity, const timespec* timeout,
                        const sigset_t* mask) {
  return static_cast<int>(
      finish(kernel::call(SYS_epoll_pwait2, fd, events, capacity, timeout, mask, _NSIG / 8)));
}

inline int clock_nanosleep(clockid_t clock, int flags, const timespec* request, timespec* left) {
  return static_cast<int>(-kernel::call(SYS_clock_nanosleep, clock, flags, request, left));
}

inline unsigned sleep(unsigned seconds) {
  timespec left{seconds, 0};
  return stand_in::clock_nanosleep(CLOCK_REALTIME, 0, &left, &left)
             ? static_cast<unsigned>(left.tv_sec)
             : 0;
}

inline int usleep(useconds_t us) {
  const timespec request = to_timespec(us * 1'000L);
  return static_cast<int>(finish(kernel::call(SYS_nanosleep, &request, nullptr)));
}

}  // namespace coir::hooks::stand_in
