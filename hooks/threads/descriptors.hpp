/// Waiting for descriptors: a fiber links itself where the poller finds it, and parks. How that
/// works is in descriptor_slots.hpp.
#pragma once

#include "hooks/threads/descriptor_slots.hpp"
#include "hooks/threads/runtime_descriptors.hpp"
#include "hooks/threads/state.hpp"

#include <poll.h>

namespace coir::threads {

/// Parks the running fiber until `fd` has one of `events` (POLLIN, …) or an error: 0. -ETIMEDOUT;
/// -EINTR and -ERESTART after a signal handler without and with SA_RESTART; -ECANCELED by
/// pthread_cancel; another -errno when it cannot be waited for. When another thread closes `fd`
/// meanwhile, the wait goes on for a duplicate, whose number replaces it: the caller owns that.
int await_descriptor(int& fd, short events, deadline until) noexcept;

/// Parks until a descriptor that the program does not know has one of `events`, the deadline has
/// passed or a signal handler has run; no cancellation ends it, nor a close. False when it cannot
/// be waited for.
bool await_own_descriptor(int fd, short events, deadline until) noexcept;

/// await_descriptor() for any of several, of which those below 0 are skipped; none is replaced.
int await_descriptors(const pollfd* fds, nfds_t count, deadline until) noexcept;

}  // namespace coir::threads
