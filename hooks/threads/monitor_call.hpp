/// Waking the monitor, which sleeps while nobody needs it; see monitor.hpp.
#pragma once

#include "hooks/threads/state.hpp"

namespace coir::threads {

/// Wakes it when it sleeps.
void wake_monitor() noexcept;

/// The same for whoever has taken a token, perhaps the last one.
inline void wake_monitor_if_busy() noexcept {
  if (sched->monitor_sleeps.load(std::memory_order_seq_cst) &&
      sched->running_count.load(std::memory_order_seq_cst) >= sched->tokens)
    wake_monitor();
}

/// The same for whoever has made work while all tokens are in use.
inline void wake_monitor_if_asleep() noexcept {
  if (__builtin_expect(sched->monitor_sleeps.load(std::memory_order_seq_cst), 0)) wake_monitor();
}

}  // namespace coir::threads
