/// Cooperative system calls: what net and hooks stand on.
///
/// Each behaves as the POSIX call of its name on a blocking descriptor, whatever mode the
/// descriptor is in, but parks the fiber where that would block the thread. Each returns the value
/// of the system call or -errno, never touches errno, and never throws. Besides the call's own
/// errors:
///   -ETIMEDOUT  the deadline of `mode` passed first (nothing was transferred)
///   -EAGAIN     mode.posix: the descriptor is O_NONBLOCK and the call would block, or its
///               SO_RCVTIMEO or SO_SNDTIMEO passed
///   -ECANCELED  the fiber is being killed, or a scope's deadline has passed; the C++ edge then
///               calls detail::throw_if_interrupted(), the C edge interruption_error()
///   -EBADF      the descriptor was closed through io::close while the fiber waited for it
///   -EINTR      on a thread that is a fiber: a signal handler ran
/// To be called where may_park() is true: on a worker, on any fiber, the main fiber included; or on
/// a thread that is a fiber (thread_scheduler.hpp), where -ECANCELED means pthread_cancel.
#pragma once

#include <coir/detail/clock.hpp>
#include <coir/export.hpp>

#include <cstddef>

#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

namespace coir::io {

/// How long a call may park, and whose manners it keeps.
struct wait_mode {
  detail::deadline until = detail::never;
  /// Consult the descriptor where the call would block: fail with -EAGAIN when it is O_NONBLOCK,
  /// and honour its SO_RCVTIMEO or SO_SNDTIMEO. Costs system calls only then.
  bool posix = false;
  /// False for calls that a signal handler ends although it has SA_RESTART: signal(7).
  bool restarts = true;
};

/// The manners of a hooked libc call.
inline constexpr wait_mode posix_manners{detail::never, true};

// Sockets. MSG_DONTWAIT in `flags` means: do not park.
COIR_API ssize_t recv(int fd, void* data, std::size_t size, int flags, wait_mode mode) noexcept;
COIR_API ssize_t recvfrom(int fd, void* data, std::size_t size, int flags, sockaddr* from,
                          socklen_t* from_size, wait_mode mode) noexcept;
COIR_API ssize_t recvmsg(int fd, msghdr* message, int flags, wait_mode mode) noexcept;
COIR_API ssize_t send(int fd, const void* data, std::size_t size, int flags,
                      wait_mode mode) noexcept;
COIR_API ssize_t sendto(int fd, const void* data, std::size_t size, int flags, const sockaddr* to,
                        socklen_t to_size, wait_mode mode) noexcept;
COIR_API ssize_t sendmsg(int fd, const msghdr* message, int flags, wait_mode mode) noexcept;
/// accept4(2): `flags` are SOCK_NONBLOCK and SOCK_CLOEXEC.
COIR_API int accept(int fd, sockaddr* peer, socklen_t* peer_size, int flags,
                    wait_mode mode) noexcept;
COIR_API int connect(int fd, const sockaddr* peer, socklen_t peer_size, wait_mode mode) noexcept;

// Any descriptor: sockets, pipes, eventfds, ttys, regular files.
COIR_API ssize_t read(int fd, void* data, std::size_t size, wait_mode mode) noexcept;
COIR_API ssize_t readv(int fd, const iovec* parts, int count, wait_mode mode) noexcept;
COIR_API ssize_t write(int fd, const void* data, std::size_t size, wait_mode mode) noexcept;
COIR_API ssize_t writev(int fd, const iovec* parts, int count, wait_mode mode) noexcept;

// Files. The kernel owns the buffer meanwhile: deadline and kill stay parked until it is done with
// it.
COIR_API ssize_t pread(int fd, void* data, std::size_t size, off_t offset, wait_mode mode) noexcept;
COIR_API ssize_t pwrite(int fd, const void* data, std::size_t size, off_t offset,
                        wait_mode mode) noexcept;
COIR_API int fsync(int fd, wait_mode mode) noexcept;
COIR_API int fdatasync(int fd, wait_mode mode) noexcept;

/// Parks until `fd` has one of `events` (POLLIN, POLLOUT, …) or an error; returns what it has.
/// -EPERM does not occur: what cannot be waited for (regular files) is ready at once.
COIR_API int wait_ready(int fd, short events, detail::deadline until) noexcept;
/// poll(2); returns 0 when the deadline passes. A negative descriptor is ignored, as POSIX says.
COIR_API int poll(pollfd* fds, nfds_t count, detail::deadline until) noexcept;
/// select(2); returns 0 when the deadline passes. Descriptors past FD_SETSIZE are allowed for sets
/// that hold them.
COIR_API int select(int count, fd_set* readable, fd_set* writable, fd_set* exceptional,
                    detail::deadline until) noexcept;
/// epoll_wait(2) on the program's own epoll descriptor; returns 0 when the deadline passes.
COIR_API int epoll_wait(int epoll_fd, epoll_event* events, int capacity,
                        detail::deadline until) noexcept;
/// Parks until the deadline; 0, or -ECANCELED when interrupted. A deadline of 0 gives nobody a
/// turn: that is yield().
COIR_API int sleep_until(detail::deadline until) noexcept;
/// Lets the fibers that are ready run first; 0, or -ECANCELED when interrupted.
COIR_API int yield() noexcept;

/// Wakes everybody, on any worker, who waits for `fd`, with -EBADF, then closes it. Any thread;
/// never parks.
COIR_API int close(int fd) noexcept;
/// The waking half of close, for calls that replace or close a descriptor themselves (dup2,
/// close_range). Any thread.
COIR_API void forget(int fd) noexcept;
/// forget() for every descriptor from `first` to `last`. Any thread.
COIR_API void forget_range(unsigned first, unsigned last) noexcept;

/// What a C caller is told when its call came back with -ECANCELED: a positive errno, ETIMEDOUT for
/// the deadline of a scope, which from then on must be thrown, and ECANCELED for a kill.
COIR_API int interruption_error() noexcept;

/// True when the calling thread is a worker, so that cooperative calls make sense; hooks go
/// straight to the kernel otherwise. Never makes a worker.
COIR_API bool on_worker() noexcept;
/// True when cooperative calls may be made: on a worker, and on a thread that is a fiber
/// (thread_scheduler.hpp).
COIR_API bool may_park() noexcept;

}  // namespace coir::io
