/// The lock inside coir's objects.
#pragma once

#include <coir/export.hpp>

#include <atomic>
#include <cstdint>

#include <sys/single_threaded.h>

namespace coir::detail {

/// A lock that is held for a few instructions only, never over a park. While the process has a
/// single thread it costs no atomic instruction: glibc clears __libc_single_threaded in the thread
/// that is about to create the second one, which therefore holds no short_lock at that moment.
class short_lock {
 public:
  /// Takes the lock; spins, then sleeps in the kernel while another thread holds it. Any thread;
  /// never parks.
  void lock() noexcept {
    if (__libc_single_threaded) return;
    std::uint32_t expected = 0;
    if (!word_.compare_exchange_strong(expected, 1, std::memory_order_acquire)) lock_contended();
  }
  /// Gives the lock back. Only the holder may call; never parks.
  void unlock() noexcept {
    if (__libc_single_threaded) return;
    if (word_.exchange(0, std::memory_order_release) == 2) wake_contender();
  }

 private:
  COIR_API void lock_contended() noexcept;
  COIR_API void wake_contender() noexcept;

  std::atomic<std::uint32_t> word_{0};  ///< 0 free, 1 held, 2 held and somebody sleeps
};

}  // namespace coir::detail
