/// The locks of the runtime of threads.
#pragma once

#include "hooks/threads/current.hpp"
#include "hooks/threads/machine.hpp"
#include "runtime/kernel/calls.hpp"

#include <atomic>

namespace coir::threads {

/// Held for a few instructions, never over a switch. A futex with three states: an unlock without
/// contention makes no system call. All zeros is a free lock, so that memory that is wiped on fork
/// holds free locks. Any kernel thread; keeps the program's signal handlers out meanwhile.
class lock {
 public:
  void acquire() noexcept {
    enter_runtime();
    int expected = 0;
    if (!word_.compare_exchange_strong(expected, 1, std::memory_order_acquire)) acquire_contended();
  }
  void release() noexcept {
    if (word_.exchange(0, std::memory_order_release) == 2) kernel::futex_wake(&word_, 1);
    leave_runtime();
  }

 private:
  [[gnu::noinline]] void acquire_contended() noexcept {
    constexpr int spins_max = 40;  // about 1 us; a section lasts tens of nanoseconds
    for (int i = 0; i < spins_max; ++i) {
      relax();
      int expected = 0;
      if (word_.load(std::memory_order_relaxed) == 0 &&
          word_.compare_exchange_weak(expected, 1, std::memory_order_acquire))
        return;
    }
    while (word_.exchange(2, std::memory_order_acquire) != 0) kernel::futex_wait(&word_, 2);
  }

  std::atomic<int> word_{0};  ///< 0 free, 1 held, 2 held and somebody may sleep
};

/// Holds a lock for a scope.
class guard {
 public:
  explicit guard(lock& l) noexcept : lock_(l) { lock_.acquire(); }
  ~guard() { lock_.release(); }
  guard(const guard&) = delete;
  guard& operator=(const guard&) = delete;

 private:
  lock& lock_;
};

}  // namespace coir::threads
