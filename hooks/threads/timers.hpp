/// The deadlines of parked fibers: one timing wheel for the process, with a lock.
#pragma once

#include "hooks/threads/state.hpp"

namespace coir::threads {

/// Links the fiber, which is about to park; `never` links nothing.
void arm_timer(thread_fiber& fiber, deadline until) noexcept;
/// Unlinks it; nothing when it is not linked.
void disarm_timer(thread_fiber& fiber) noexcept;
/// Wakes the fibers whose deadline has passed; how many.
int expire_timers() noexcept;
/// No timer fires before; `never` without any. Any kernel thread.
deadline next_timer() noexcept;

/// For the start: true when the memory can be wiped on fork.
bool start_timers() noexcept;

}  // namespace coir::threads
