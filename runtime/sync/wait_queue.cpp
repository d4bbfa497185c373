// How a fiber waits for another.
//
//   waiter:  lock, look, link its waiter, unlock, park, look again
//   waker:   lock, take_one, hand over through payload, wake, unlock
//
// A waiter belongs to the queue until a waker takes it; is_waiting says which, and wake() clears it
// as its last touch. A wait that ends by time or kill takes the lock and looks who was first: if a
// waker was, the wait has succeeded, for something may have been handed over already. wake() is
// called under the lock, so that this look is exact.
//
// A select waits in several queues, each with a lock of its own. It has one waiter in each, an
// alternative, and one `choice` that they share. A waker that meets an alternative claims the
// choice by a compare-exchange; if that fails, the select was taken in another queue, and the waker
// goes on to the next waiter. Whoever fails drops the alternative from the queue, as the select
// itself will do when it runs: both under the lock, which also keeps the waiter alive until then.
//
// An observer waits in several queues, too, but takes nothing: a waker that meets one tells it and
// goes on to the next waiter.
#include <coir/detail/wait_queue.hpp>

#include "runtime/sched/worker.hpp"

#include <mutex>

namespace coir::detail {

wait_status wait_queue::wait(short_lock& held, waiter& self, deadline until, wait_reason why,
                             interruptible kind) {
  std::unique_lock guard(held, std::adopt_lock);
  if (until == 0) return wait_status::timed_out;
  worker& w = worker::current();
  set_fiber(self, *w.running);
  self.queue = this;
  self.is_waiting.store(true, std::memory_order_relaxed);
  link(self);
  w.running->waits_in = &self;
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

namespace {

/// Whether a waker may hand something to `w`, which has left its queue.
bool takes(shared_waiter& w) noexcept {
  if (w.kind == waiter_kind::alternative) {
    auto& a = static_cast<alternative&>(w);
    return a.among->claim(a);
  }
  w.tell(w);
  return false;
}

bool is_claimed(const waiter& w) noexcept {
  return static_cast<const alternative&>(w).among->taken() != nullptr;
}

}  // namespace

/// Takes `unlinked`, which has left the queue and is one of several waits, or else the next waiter
/// that can be had.
waiter* wait_queue::take_shared(waiter* unlinked) noexcept {
  for (waiter* w = unlinked; w; w = head_) {
    if (w != unlinked) unlink(*w);
    if (w->kind == waiter_kind::only) return w;
    auto& shared = static_cast<shared_waiter&>(*w);
    shared.is_queued = false;
    if (takes(shared)) return w;
  }
  return nullptr;
}

/// Drops alternatives of selects that were taken elsewhere on its way.
waiter* wait_queue::first_takeable() noexcept {
  waiter* w = head_;
  while (w && w->kind != waiter_kind::only) {
    waiter* const after = w->next;
    if (w->kind == waiter_kind::alternative) {
      if (!is_claimed(*w)) return w;
      remove(static_cast<shared_waiter&>(*w));
    }
    w = after;
  }
  return w;
}

void wait_queue::wake(waiter& taken) noexcept {
  worker* const here = worker::current_or_null();
  if (taken.home == here && here) [[likely]] {
    control_block& f = *taken.fiber;
    taken.is_waiting.store(false, std::memory_order_release);
    return here->run_queue().make_ready(f);
  }
  fiber_record& record = *taken.record;
  thread_slots& home = *taken.home;
  taken.is_waiting.store(false, std::memory_order_release);
  worker::wake_from_elsewhere(record, home);
}

waiter* wait_queue::take_near(const thread_slots* home, int places) noexcept {
  waiter* w = head_;
  for (; w && places > 0; w = w->next, --places) {
    if (w->home != home || w->kind != waiter_kind::only) continue;
    unlink(*w);
    return w;
  }
  return nullptr;
}

void throw_if_interrupted() {
  worker* const w = worker::current_or_null();
  if (!w || !w->running->is_interrupted) return;
  control_block& self = *w->running;
  interruption& first = *self.record->interruptions.front();
  if (self.record->c_frames > 0) {
    first.is_told = true;
    throw told_interruption{first.error_number};
  }
  worker::retract(self, first);
  self.record->raised = &first;
  first.raise(first);
}

}  // namespace coir::detail
