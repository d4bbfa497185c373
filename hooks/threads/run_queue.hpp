/// First in, first out; any carrier may take from any queue.
#pragma once

#include "hooks/threads/lock.hpp"
#include "hooks/threads/thread_fiber.hpp"

#include <atomic>

namespace coir::threads {

/// All zeros is an empty queue. Any kernel thread.
class run_queue {
 public:
  int size() const noexcept { return count_.load(std::memory_order_relaxed); }

  void push(thread_fiber& fiber) noexcept {
    fiber.next = nullptr;
    const guard hold(lock_);
    (tail_ ? tail_->next : head_) = &fiber;
    tail_ = &fiber;
    set_count(size() + 1);
  }

  /// Null when it is empty, and perhaps when somebody pushes at this moment.
  thread_fiber* pop() noexcept {
    if (size() == 0) return nullptr;
    const guard hold(lock_);
    thread_fiber* const first = head_;
    if (!first) return nullptr;
    head_ = first->next;
    if (head_) {
      prefetch(*head_);
    } else {
      tail_ = nullptr;
    }
    set_count(size() - 1);
    return first;
  }

 private:
  /// With many fibers each switch meets a stack that has left the cache.
  static void prefetch(const thread_fiber& fiber) noexcept {
    const auto* const stack = static_cast<const char*>(fiber.stack_pointer);
    __builtin_prefetch(stack);
    __builtin_prefetch(stack + 64);
    __builtin_prefetch(stack + 128);
    __builtin_prefetch(&fiber.timer);
  }
  void set_count(int n) noexcept { count_.store(n, std::memory_order_relaxed); }

  lock lock_;
  thread_fiber* head_ = nullptr;
  thread_fiber* tail_ = nullptr;
  std::atomic<int> count_{0};
};

}  // namespace coir::threads
