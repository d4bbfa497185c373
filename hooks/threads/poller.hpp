/// The epoll: one for the process, in which one carrier at a time sleeps.
#pragma once

#include <cstdint>

namespace coir::threads {

/// Makes the epoll. 0 or -errno.
int start_poller() noexcept;

/// Wakes the fibers whose descriptors are ready, without waiting; how many.
int poll_descriptors_now() noexcept;
/// For the poller: waits for `timeout_ns` (-1: without limit) at most. Calls `back` as soon as the
/// kernel has returned, before anything is woken.
int poll_descriptors(std::int64_t timeout_ns, void (*back)(void*) noexcept,
                     void* argument) noexcept;

}  // namespace coir::threads
