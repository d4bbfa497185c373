#include "hooks/threads/signal_mask.hpp"

#include "hooks/threads/state.hpp"
#include "runtime/kernel/calls.hpp"

#include <atomic>
#include <bit>

namespace coir::threads {
namespace {

struct mask_counts {
  std::atomic<int> blockers[signals_max + 1];  ///< fibers that block each signal
  std::atomic<int> masks_in_use;               ///< sum of all blockers
};
constinit wiped<mask_counts> masks{};

}  // namespace

void set_kernel_mask(signal_set mask, signal_set* old) noexcept {
  kernel::call(SYS_rt_sigprocmask, SIG_SETMASK, &mask, old, sizeof mask);
}

void block_all_signals(carrier& c) noexcept {
  if (c.kernel_mask == ~signal_set{0}) return;
  c.kernel_mask = ~signal_set{0};
  set_kernel_mask(c.kernel_mask, nullptr);
}

signal_set mask_of_poller() noexcept {
  if (masks->masks_in_use.load(std::memory_order_relaxed) == 0) return 0;
  const int all = sched->live_threads.load(std::memory_order_relaxed);
  signal_set mask = 0;
  for (int signal = 1; signal <= signals_max; ++signal)
    if (masks->blockers[signal].load(std::memory_order_relaxed) >= all) mask |= bit_of(signal);
  return mask;
}

void count_mask(signal_set blocked, int change) noexcept {
  for (signal_set rest = blocked; rest != 0; rest &= rest - 1) {
    masks->blockers[std::countr_zero(rest) + 1].fetch_add(change, std::memory_order_relaxed);
    masks->masks_in_use.fetch_add(change, std::memory_order_relaxed);
  }
}

void exchange_mask(thread_fiber& self, signal_set blocked) noexcept {
  blocked &= ~(unblockable_signals | reserved_signals);
  const signal_set before = self.blocked;
  if (before == blocked) return;
  count_mask(before & ~blocked, -1);
  count_mask(blocked & ~before, 1);
  self.blocked = blocked;
  // Not a runtime section: the kernel delivers what this lets in right here, one after the other.
  adopt_signal_mask(*self.on, self);
}

bool start_signal_masks() noexcept { return masks.wipe_on_fork(); }

}  // namespace coir::threads
