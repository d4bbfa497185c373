/// The one thing in which a fiber waits for another: a FIFO of parked fibers. Mutex, condition
/// variable, semaphore, event, queue, channel, select and join stand on it. The protocol is
/// explained in runtime/sync/wait_queue.cpp.
#pragma once

#include <coir/detail/clock.hpp>
#include <coir/detail/short_lock.hpp>
#include <coir/detail/waiter.hpp>
#include <coir/export.hpp>

namespace coir::detail {

/// FIFO of waiting fibers, guarded by a short_lock of the object that owns it, which every member
/// needs held. Fibers of any worker, and plain threads, may use one queue together.
class wait_queue {
 public:
  constexpr wait_queue() noexcept = default;
  wait_queue(const wait_queue&) = delete;
  wait_queue& operator=(const wait_queue&) = delete;

  /// True while nobody waits. Never parks.
  bool empty() const noexcept { return head_ == nullptr; }
  /// The longest waiting fiber, left in the queue; nullptr when there is none. An alternative of a
  /// select may still be taken elsewhere before take_one() comes; observers do not count. Never
  /// parks.
  waiter* front() noexcept {
    if (head_ && head_->kind != waiter_kind::only) [[unlikely]]
      return first_takeable();
    return head_;
  }

  /// Queues `self` behind the others, releases `held`, parks the calling fiber, and returns with
  /// `held` released. Does not park when the deadline has passed, or when an interruption is
  /// pending and `kind` allows it. Makes the calling thread a worker if it is none, and then throws
  /// what that throws.
  COIR_API wait_status wait(short_lock& held, waiter& self, deadline until, wait_reason why,
                            interruptible kind = interruptible::yes);

  /// Queues one wait of several behind the others; whoever queues it parks by itself, and calls
  /// remove() afterwards in any case. Never parks.
  void add(shared_waiter& w) noexcept {
    w.is_queued = true;
    link(w);
  }
  /// Takes one wait of several out of the queue unless a waker has done so. Never parks.
  void remove(shared_waiter& w) noexcept {
    if (w.is_queued) unlink(w);
    w.is_queued = false;
  }

  /// Takes the longest waiting fiber out of the queue; nullptr when there is none. Fibers in a
  /// select that was taken elsewhere are passed over, and so are observers, who are told. The
  /// caller writes its payload, then calls wake(), before it releases the lock. Never parks.
  waiter* take_one() noexcept {
    waiter* const taken = head_;
    if (!taken) return nullptr;
    unlink(*taken);
    if (taken->kind != waiter_kind::only) [[unlikely]]
      return take_shared(taken);
    return taken;
  }
  /// take_one(), but of the first `places` waiters only the first whose fiber belongs to the worker
  /// `home`; nullptr when there is none.
  COIR_API waiter* take_near(const thread_slots* home, int places) noexcept;
  /// Makes the fiber of a waiter that take_one() returned ready to run, on its own worker. Never
  /// parks.
  COIR_API static void wake(waiter& taken) noexcept;

  /// take_one() and wake() in one; false when nobody waits. Never parks.
  bool wake_one() noexcept {
    waiter* taken = take_one();
    if (taken) wake(*taken);
    return taken != nullptr;
  }
  /// Wakes everybody who waits now, in order. Never parks.
  void wake_all() noexcept {
    while (wake_one()) {
    }
  }

 private:
  void link(waiter& w) noexcept {
    w.next = nullptr;
    w.prev = tail_;
    (tail_ ? tail_->next : head_) = &w;
    tail_ = &w;
  }
  void unlink(waiter& w) noexcept {
    (w.prev ? w.prev->next : head_) = w.next;
    (w.next ? w.next->prev : tail_) = w.prev;
  }
  COIR_API waiter* take_shared(waiter* unlinked) noexcept;
  COIR_API waiter* first_takeable() noexcept;

  waiter* head_ = nullptr;
  waiter* tail_ = nullptr;
};

/// Throws what has come for the calling fiber from outside, a kill or the deadline of a scope, the
/// oldest first, and marks it as delivered; returns when there is nothing. Called by the C++ edge
/// after a wait came back interrupted; never parks. Inside a c_frame it throws told_interruption,
/// and what has come stays pending.
COIR_API void throw_if_interrupted();

/// Ends a C++ function that was called by C code; caught at that edge.
struct told_interruption {
  int error_number;  ///< what the C code is told
};

}  // namespace coir::detail
