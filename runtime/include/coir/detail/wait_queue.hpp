/// The one thing in which a fiber waits for another: a FIFO of parked fibers. Mutex, condition
/// variable, semaphore, event, queue and join stand on it. The protocol is explained in
/// runtime/sync/wait_queue.cpp.
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
  /// The longest waiting fiber, left in the queue; nullptr when there is none. Never parks.
  waiter* front() const noexcept { return head_; }

  /// Queues `self` behind the others, releases `held`, parks the calling fiber, and returns with
  /// `held` released. Does not park when the deadline has passed or the fiber is being killed and
  /// `kind` is interruptible. Makes the calling thread a worker if it is none, and then throws what
  /// that throws.
  COIR_API wait_status wait(short_lock& held, waiter& self, deadline until, wait_reason why,
                            interruptible kind = interruptible::yes);

  /// Takes the longest waiting fiber out of the queue; nullptr when there is none. The caller
  /// writes its payload, then calls wake(), before it releases the lock. Never parks.
  waiter* take_one() noexcept {
    waiter* taken = head_;
    if (taken) unlink(*taken);
    return taken;
  }
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

  waiter* head_ = nullptr;
  waiter* tail_ = nullptr;
};

/// Throws fiber_exit if the calling fiber is being killed, and marks that kill as delivered. Called
/// by the C++ edge after a wait came back interrupted; never parks.
COIR_API void throw_if_interrupted();

}  // namespace coir::detail
