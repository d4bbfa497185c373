#include "hooks/threads/scheduler.hpp"

#include "hooks/threads/call_sites.hpp"
#include "hooks/threads/counters.hpp"
#include "hooks/threads/pick.hpp"
#include "hooks/threads/signal_handlers.hpp"
#include "hooks/threads/thread_memory.hpp"
#include "hooks/threads/timers.hpp"
#include "hooks/threads/tokens.hpp"

namespace coir::threads {
namespace {

void after_park(thread_fiber& left) noexcept {
  park_state expected = park_state::parking;
  if (!left.state.compare_exchange_strong(expected, park_state::parked, std::memory_order_seq_cst))
    queue_fiber(left, false);
}
void after_yield(thread_fiber& left) noexcept { queue_fiber(left, false); }
void after_yield_of_stuck(thread_fiber& left) noexcept { queue_fiber(left, true); }

/// Leaves the running context for the next fiber, or for the hub when there is none at hand.
void leave_to_next(void (*after)(thread_fiber&) noexcept) noexcept {
  thread_fiber& self = *here.self;
  carrier& c = *self.on;
  thread_fiber* const next = holds_token(c) ? take_near(c) : nullptr;
  switch_to(next ? *next : c.hub, after);
}

}  // namespace

void prepare_to_park(thread_fiber& self, bool is_cancellable) noexcept {
  enter_runtime();
  self.timed_out = false;
  self.is_cancellable.store(is_cancellable, std::memory_order_relaxed);
  if (!self.is_watching_handlers) {
    self.has_run_handler = false;
    self.restarts_calls = true;
  }
  self.state.store(park_state::parking, std::memory_order_seq_cst);
}

void abandon_park(thread_fiber& self) noexcept {
  self.state.store(park_state::running, std::memory_order_relaxed);
  leave_runtime();
}

wake_cause park(thread_fiber& self, deadline until) noexcept {
  arm_timer(self, until);
  const bool must_not_wait =
      self.state.load(std::memory_order_seq_cst) == park_state::notified || has_signal(self) ||
      (self.is_watching_handlers && self.has_run_handler) ||
      (self.is_cancellable.load(std::memory_order_relaxed) && is_cancelled(self));
  if (must_not_wait) {
    self.state.store(park_state::running, std::memory_order_relaxed);
  } else {
    leave_to_next(&after_park);
    give_token_if_hog(self);
  }
  disarm_timer(self);
  leave_runtime();
  run_pending_handlers(self);
  if (self.is_cancellable.load(std::memory_order_relaxed) && is_cancelled(self))
    return wake_cause::cancelled;
  if (self.has_run_handler) return wake_cause::signalled;
  return self.timed_out ? wake_cause::timed_out : wake_cause::woken;
}

void yield() noexcept {
  thread_fiber& self = *here.self;
  enter_runtime();
  carrier& c = *self.on;
  if (!holds_token(c)) {
    if (!get_token(c)) switch_to(c.hub, &after_yield_of_stuck);
  } else if (thread_fiber* const next = take_near(c)) {
    switch_to(*next, &after_yield);
    give_token_if_hog(self);
  } else {
    constexpr unsigned yields_between_polls = 4;
    if (c.picks % yields_between_polls == 0) look_for_events();
    c.switches.store(c.switches.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  leave_runtime();
}

void rejoin_if_stuck() noexcept {
  thread_fiber& self = *here.self;
  if (__builtin_expect(holds_token(*self.on), true) || self.is_in_region) return;
  note_call_site(site_kind::taken);
  yield();
}

void count_call() noexcept {
  constexpr std::int64_t slice_ns = 50'000;
  constexpr unsigned calls_between_looks = 4;
  thread_fiber& self = *here.self;
  if (!holds_token(*self.on)) {
    rejoin_if_stuck();
    return;
  }
  if (self.calls_in_slice++ % calls_between_looks != 0) return;
  const std::int64_t now = coir::detail::now_ns();
  if (self.calls_in_slice == 1) {
    self.slice_start_ns = now;
  } else if (now - self.slice_start_ns > slice_ns) {
    self.calls_in_slice = 0;
    yield();
  }
}

void enter_region() noexcept {
  thread_fiber& self = *here.self;
  count(counter::regions);
  note_call_site(site_kind::blocked);
  self.is_in_region = true;
  give_token(*self.on);
}

void leave_region() noexcept {
  thread_fiber& self = *here.self;
  self.is_in_region = false;
  const int cancel_state = cancel_word(self.thread_pointer).load(std::memory_order_relaxed);
  if (__builtin_expect(cancel_state & cancel_is_exiting, false)) unblock_after_unwinding(*self.on);
  if (!holds_token(*self.on)) yield();
}

void leave_for_good(void (*after)(thread_fiber&) noexcept) noexcept {
  enter_runtime();
  leave_to_next(after);
  __builtin_trap();  // nobody switches to a fiber that has ended
}

}  // namespace coir::threads
