/// Shared ownership inside coir.
#pragma once

#include <atomic>
#include <cstdint>

#include <sys/single_threaded.h>

namespace coir::detail {

/// A count of owners that needs an atomic instruction only once the process has a second thread.
class reference_count {
 public:
  /// One more owner. Any thread.
  void add() noexcept {
    if (__libc_single_threaded) {
      count_.store(count_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    } else {
      count_.fetch_add(1, std::memory_order_relaxed);
    }
  }
  /// One owner less; true when that was the last one. Any thread.
  bool drop() noexcept {
    if (__libc_single_threaded) {
      const std::uint32_t left = count_.load(std::memory_order_relaxed) - 1;
      count_.store(left, std::memory_order_relaxed);
      return left == 0;
    }
    return count_.fetch_sub(1, std::memory_order_acq_rel) == 1;
  }
  /// True when the caller holds the only reference. Any thread.
  bool is_unique() const noexcept { return count_.load(std::memory_order_acquire) == 1; }

 private:
  std::atomic<std::uint32_t> count_{1};
};

}  // namespace coir::detail
