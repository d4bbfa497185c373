/// Waiting for descriptors: one epoll for the process.
///
/// A wait arms the descriptor for one event: it tells the kernel anew each time (MOD, or ADD when it
/// does not know the file under this number), which costs one system call and is right for numbers
/// that were closed and used again behind our back. Waking a waiter without a cause is harmless: it
/// tries its call again.
///
/// Stream sockets are most of what servers wait for, and for them the kernel is asked less often.
/// Once a wait has shown that a socket is in blocking mode and has no time limits, that is noted for
/// its number, and the epoll watches it for edges for good. Events that find no waiter leave
/// `has_event`; a wait that finds it set does not park. A read that got less than it asked for makes
/// the socket dry: the next one waits first. All that is forgotten when the number is closed, given
/// to a new socket, or changed in mode, each by its hook. A socket whose events keep coming while
/// nobody waits is watched no longer, because each of them wakes the poller.
///
/// The epoll and the eventfd that wakes it lie at the top of the descriptor table, and the hooks of
/// close() and its kin do as if they were not there.
#pragma once

#include "hooks/threads/scheduler.hpp"

#include <poll.h>

namespace coir::threads {

/// Makes the epoll. 0 or -errno.
int start_descriptors() noexcept;
/// In the child of a fork: closes what was inherited.
void close_inherited_descriptors() noexcept;
/// True for the runtime's own.
bool is_runtime_descriptor(int fd) noexcept;
/// The lowest of them from `first` to `last`; -1 when there is none.
int lowest_runtime_descriptor(unsigned first, unsigned last) noexcept;

/// Parks the running fiber until `fd` has one of `events` (POLLIN, …) or an error: 0. -ETIMEDOUT;
/// -EINTR and -ERESTART after a signal handler without and with SA_RESTART; -ECANCELED by
/// pthread_cancel; another -errno when it cannot be waited for. When another thread closes `fd`
/// meanwhile, the wait goes on for a duplicate, whose number replaces it: the caller owns that.
int await_descriptor(int& fd, short events, deadline until) noexcept;
/// The same for any of several, of which those below 0 are skipped; none is replaced.
int await_descriptors(const pollfd* fds, nfds_t count, deadline until) noexcept;

/// What is noted for a number. Any kernel thread.
bool is_plain_stream(int fd) noexcept;  ///< a stream socket, blocking, without time limits
void note_plain_stream(int fd) noexcept;
bool is_dry(int fd) noexcept;    ///< a read would have to wait
void note_dry(int fd) noexcept;  ///< a read got less than it asked for
/// The number means another file, or the file is in another mode.
void forget_notes(int fd) noexcept;

/// To be called before `fd` is closed: forgets its notes, and lets those who wait for it go on with a duplicate, as the
/// kernel lets a thread go on that is inside a call on a file that is closed.
void keep_for_waiters(int fd) noexcept;

/// Wakes the fibers whose descriptors are ready, without waiting; how many.
int poll_descriptors_now() noexcept;
/// For the poller: waits for `timeout_ns` (-1: without limit) at most. Calls `back` as soon as the
/// kernel has returned, before anything is woken.
int poll_descriptors(std::int64_t timeout_ns, void (*back)(void*) noexcept,
                     void* argument) noexcept;
/// True while somebody waits for a descriptor.
bool has_armed_descriptors() noexcept;

}  // namespace coir::threads
