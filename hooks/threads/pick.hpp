/// Which fiber a carrier runs next.
#pragma once

#include "hooks/threads/carrier.hpp"

namespace coir::threads {

/// Takes the next fiber from the carrier's own queue or the global one. Now and then it looks at
/// timers and descriptors first, so that these are served while there is always something to run.
thread_fiber* take_near(carrier& c) noexcept;

/// Takes half of another carrier's queue.
thread_fiber* steal(carrier& c) noexcept;

/// Wakes the fibers whose descriptors are ready or whose time has come.
void look_for_events() noexcept;

}  // namespace coir::threads
