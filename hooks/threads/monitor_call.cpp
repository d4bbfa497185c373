#include "hooks/threads/monitor_call.hpp"

#include "runtime/kernel/calls.hpp"

namespace coir::threads {

void wake_monitor() noexcept {
  if (sched->monitor_sleeps.exchange(0, std::memory_order_seq_cst) != 0)
    kernel::futex_wake(&sched->monitor_sleeps, 1);
}

}  // namespace coir::threads
