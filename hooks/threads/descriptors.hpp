/// Waiting for descriptors: one epoll for the process, armed for one event at each wait.
///
/// Nothing is kept for a descriptor beyond a wait, because libc closes some behind our back and
/// numbers are used again at once: each wait tells the kernel anew (MOD, or ADD when it does not
/// know the file under this number), which costs one system call and is always right. Waking a
/// waiter without a cause is harmless: it tries its call again.
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

/// To be called before `fd` is closed: lets those who wait for it go on with a duplicate, as the
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
