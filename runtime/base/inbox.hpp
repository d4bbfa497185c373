/// What other threads ask of a worker: a lock-free list with many producers and one consumer, which
/// takes all at once. The same word says whether the consumer sleeps, so that a producer learns by
/// its one compare-exchange whether it has to wake it.
#pragma once

#include <coir/detail/remote_call.hpp>

#include <atomic>

namespace coir::detail {

/// The word is null, the newest call, or the mark of a consumer that sleeps. The mark is set only
/// in the place of null, and whoever replaces it, by a call or by null, has to wake the consumer,
/// unless that was the consumer itself. `Atomic` is another one only where a test looks at each of
/// its operations.
template <template <class> class Atomic = std::atomic>
class basic_inbox {
 public:
  /// Any thread. True when the consumer sleeps: the caller has to wake it. The release pairs with
  /// the acquire of take_all: what was written before is seen by `invoke`.
  [[nodiscard]] bool push(remote_call& call) noexcept {
    remote_call* seen = head_.load(std::memory_order_relaxed);
    do {
      call.next = seen == &asleep_ ? nullptr : seen;
    } while (!head_.compare_exchange_weak(seen, &call, std::memory_order_seq_cst,
                                          std::memory_order_relaxed));
    return seen == &asleep_;
  }

  /// Any thread. True when the consumer slept, and sleeps no more: the caller has to wake it.
  [[nodiscard]] bool rouse() noexcept {
    remote_call* mark = &asleep_;
    return head_.compare_exchange_strong(mark, nullptr, std::memory_order_seq_cst,
                                         std::memory_order_relaxed);
  }

  // The consumer only.

  /// True when there is nothing; also while it sleeps, until something comes.
  bool empty() const noexcept {
    const remote_call* const head = head_.load(std::memory_order_relaxed);
    return head == nullptr || head == &asleep_;
  }

  /// Takes what is there, oldest first, linked through `next`. A sleep that nobody has ended goes
  /// on.
  remote_call* take_all() noexcept {
    if (empty()) return nullptr;
    remote_call* newest = head_.exchange(nullptr, std::memory_order_acquire);
    remote_call* oldest = nullptr;
    while (newest) {
      remote_call* older = newest->next;
      newest->next = oldest;
      oldest = newest;
      newest = older;
    }
    return oldest;
  }

  /// Says that the consumer is about to sleep; false when there is something, and it must not.
  /// Sequentially consistent: what others do without a call they do before they look for the mark,
  /// and the consumer looks for it after this.
  [[nodiscard]] bool begin_sleep() noexcept {
    remote_call* nothing = nullptr;
    return head_.compare_exchange_strong(nothing, &asleep_, std::memory_order_seq_cst,
                                         std::memory_order_relaxed);
  }

  /// Ends a sleep; false when somebody has ended it before, and a wake-up is on its way or has
  /// come.
  [[nodiscard]] bool end_sleep() noexcept { return rouse(); }

 private:
  static inline constinit remote_call asleep_{};

  Atomic<remote_call*> head_{nullptr};
};

using inbox = basic_inbox<>;

}  // namespace coir::detail
