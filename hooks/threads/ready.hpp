/// Fibers become ready: the wake of the protocol in scheduler.hpp. Any kernel thread.
#pragma once

#include "hooks/threads/thread_fiber.hpp"

namespace coir::threads {

/// The caller holds the lock of the list that links the fiber, or knows otherwise that it lives.
void wake(thread_fiber& fiber) noexcept;
/// Makes the fiber, if it is parked or about to, look for signals and for its cancellation.
void interrupt(thread_fiber& fiber) noexcept;
/// Queues a fiber that was made and not yet run.
void start_fiber(thread_fiber& fiber) noexcept;

/// Queues a fiber that has left its stack, and brings somebody to run it: in the queue of the
/// caller's carrier, or in that of all when the caller has no token or `is_global`.
void queue_fiber(thread_fiber& fiber, bool is_global) noexcept;

}  // namespace coir::threads
