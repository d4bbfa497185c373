// The slow half of short_lock: a futex with three states, so that an unlock without contention
// makes no system call.
#include <coir/detail/short_lock.hpp>

#include "runtime/kernel/calls.hpp"

namespace coir::detail {
namespace {

// About 2 us: a critical section lasts tens of nanoseconds unless its holder is preempted
constexpr int spins_max = 100;

}  // namespace

void short_lock::lock_contended() noexcept {
  for (int i = 0; i < spins_max; ++i) {
    std::uint32_t expected = 0;
    if (word_.load(std::memory_order_relaxed) == 0 &&
        word_.compare_exchange_weak(expected, 1, std::memory_order_acquire)) {
      return;
    }
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
  while (word_.exchange(2, std::memory_order_acquire) != 0) kernel::futex_wait(&word_, 2);
}

void short_lock::wake_contender() noexcept { kernel::futex_wake(&word_, 1); }

}  // namespace coir::detail
