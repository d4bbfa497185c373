// How a fiber waits for another.
//
//   waiter:  lock, look, link its waiter, unlock, park, look again
//   waker:   lock, take_one, hand over through payload, wake, unlock
//
// A waiter belongs to the queue until a waker takes it; is_waiting says which, and wake() clears it
// as its last touch. A wait that ends by time or kill takes the lock and looks who was first: if a
// waker was, the wait has succeeded, for something may have been handed over already. wake() is
// called under the lock, so that this look is exact.
#include <coir/detail/wait_queue.hpp>
#include <coir/exceptions.hpp>

#include "runtime/sched/worker.hpp"

#include <mutex>

namespace coir::detail {

wait_status wait_queue::wait(short_lock& held, waiter& self, deadline until, wait_reason why,
                             interruptible kind) {
  std::unique_lock guard(held, std::adopt_lock);
  if (until == 0) return wait_status::timed_out;
  worker& w = worker::current();
  self.fiber = w.running;
  self.is_waiting.store(true, std::memory_order_relaxed);
  link(self);
  guard.unlock();
  for (;;) {
    const wait_status how = w.park(why, until, kind);
    const bool is_woken = !self.is_waiting.load(std::memory_order_acquire);
    if (how == wait_status::woken && !is_woken) continue;  // without a cause
    guard
        .lock();  // also when woken: the caller may destroy the object that the waker still unlocks
    if (!self.is_waiting.load(std::memory_order_relaxed)) return wait_status::woken;
    unlink(self);
    return how;
  }
}

void wait_queue::wake(waiter& taken) noexcept {
  control_block& f = *taken.fiber;
  taken.is_waiting.store(false, std::memory_order_release);
  worker::wake(f);
}

void throw_if_interrupted() {
  worker* w = worker::current_or_null();
  if (!w || !w->running->kill_pending) return;
  w->running->kill_pending = false;
  throw fiber_exit();
}

}  // namespace coir::detail
