/// Calls that any member of a crew may take: first in, first out.
#pragma once

#include <coir/detail/remote_call.hpp>
#include <coir/detail/short_lock.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <mutex>

namespace coir::detail {

/// Any thread may call any member. `Lock` and `Atomic` are others only where a test looks at each
/// of their operations.
template <class Lock = short_lock, template <class> class Atomic = std::atomic>
class basic_common_queue {
 public:
  /// Sequentially consistent: whoever adds work looks for sleepers after it.
  void push(remote_call& work) noexcept {
    const std::lock_guard guard(lock_);
    work.next = nullptr;
    (first_ ? last_->next : first_) = &work;
    last_ = &work;
    queued_.store(queued_.load(std::memory_order_relaxed) + 1, std::memory_order_seq_cst);
  }

  /// Takes the share of one of `takers` members, but no more than `room`; how many that were.
  std::size_t take(remote_call** to, std::size_t room, std::size_t takers) noexcept {
    const std::lock_guard guard(lock_);
    const std::size_t queued = queued_.load(std::memory_order_relaxed);
    const std::size_t share = std::min(queued / takers + 1, room);
    std::size_t count = 0;
    for (; first_ && count < share; ++count) {
      to[count] = first_;
      first_ = first_->next;
    }
    queued_.store(queued - count, std::memory_order_seq_cst);
    return count;
  }

  /// How many calls there seem to be; sees in the course of a few looks what there is.
  std::size_t size() const noexcept { return queued_.load(std::memory_order_relaxed); }
  /// Whether it looks empty, in the same way.
  bool seems_empty() const noexcept { return size() == 0; }
  /// Sequentially consistent: who says that it goes to sleep looks here after that.
  bool empty() const noexcept { return queued_.load(std::memory_order_seq_cst) == 0; }

 private:
  alignas(64) Lock lock_;
  remote_call* first_ = nullptr;   ///< guarded by lock_
  remote_call* last_ = nullptr;    ///< guarded by lock_; valid while first_ is not null
  Atomic<std::size_t> queued_{0};  ///< its length; written under lock_
};

using common_queue = basic_common_queue<>;

}  // namespace coir::detail
