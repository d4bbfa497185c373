/// What other threads ask of a worker: a lock-free list with many producers and one consumer, which
/// takes all at once.
#pragma once

#include <atomic>

namespace coir::detail {

/// One request. Owned by whoever posts it until `invoke` runs on the worker's thread; that call may
/// free it.
struct remote_call {
  remote_call* next = nullptr;
  void (*invoke)(remote_call&) noexcept = nullptr;
};

class inbox {
 public:
  /// Any thread. The release pairs with the acquire of take_all: what was written before is seen by
  /// `invoke`.
  void push(remote_call& call) noexcept {
    call.next = head_.load(std::memory_order_relaxed);
    while (!head_.compare_exchange_weak(call.next, &call, std::memory_order_seq_cst,
                                        std::memory_order_relaxed)) {
    }
  }

  /// Any thread; sequentially consistent, because a worker that goes to sleep looks here after it
  /// has said so.
  bool empty() const noexcept { return head_.load(std::memory_order_seq_cst) == nullptr; }

  /// The worker only: takes what is there, oldest first, linked through `next`.
  remote_call* take_all() noexcept {
    if (!head_.load(std::memory_order_relaxed)) return nullptr;
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

 private:
  std::atomic<remote_call*> head_{nullptr};
};

}  // namespace coir::detail
