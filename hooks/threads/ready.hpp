/// Fibers become ready: the wake of the protocol in scheduler.hpp. Any kernel thread.
#pragma once

#include "hooks/threads/thread_fiber.hpp"

namespace coir::threads {

/// Also starts a fiber that was made and has not run. One that is parked, or about to, looks for
/// signals and for its cancellation when it is woken. The caller holds the lock of the list that
/// links the fiber, or knows otherwise that it lives.
void wake(thread_fiber& fiber) noexcept;

/// Queues a fiber that has left its stack, and brings somebody to run it: in the queue of the
/// caller's carrier, or in that of all when the caller has no token or `is_global`.
void queue_fiber(thread_fiber& fiber, bool is_global) noexcept;

}  // namespace coir::threads
