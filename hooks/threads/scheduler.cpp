#include "hooks/threads/scheduler.hpp"

#include "hooks/threads/carriers.hpp"
#include "hooks/threads/descriptors.hpp"
#include "hooks/threads/monitor.hpp"
#include "hooks/threads/report.hpp"
#include "hooks/threads/signals.hpp"
#include "hooks/threads/thread_memory.hpp"
#include "hooks/threads/timers.hpp"
#include "runtime/kernel/calls.hpp"

namespace coir::threads {
namespace {

constexpr unsigned picks_between_polls = 64;
constexpr unsigned picks_between_timer_looks = 8;
constexpr unsigned picks_between_global_looks = 32;

// --- queues ---------------------------------------------------------------------------------------

/// Takes the next fiber from the carrier's own queue or the global one.
thread_fiber* take_near(carrier& c) noexcept {
  const unsigned pick = ++c.picks;
  if (pick % picks_between_polls == 0) {
    poll_descriptors_now();
    expire_timers();
  } else if (pick % picks_between_timer_looks == 0) {
    expire_timers();
  }
  thread_fiber* found = nullptr;
  if (pick % picks_between_global_looks == 0) found = sched->global_queue.pop();
  if (!found) found = c.queue.pop();
  if (!found) found = sched->global_queue.pop();
  if (found) sched->ready_count.fetch_sub(1, std::memory_order_seq_cst);
  return found;
}

/// Takes half of another carrier's queue.
thread_fiber* steal(carrier& c) noexcept {
  const int count = sched->carrier_count.load(std::memory_order_acquire);
  for (int i = 1; i < count; ++i) {
    carrier& victim = *sched->carriers[(c.index + i) % count];
    thread_fiber* const first = victim.queue.pop();
    if (!first) continue;
    for (int left = victim.queue.size() / 2; left > 0; --left) {
      thread_fiber* const more = victim.queue.pop();
      if (!more) break;
      c.queue.push(*more);
    }
    sched->ready_count.fetch_sub(1, std::memory_order_seq_cst);
    return first;
  }
  return nullptr;
}

bool holds_token(const carrier& c) noexcept {
  return c.state.load(std::memory_order_relaxed) == carrier_state::running;
}

void queue_fiber(thread_fiber& fiber, bool is_global) noexcept {
  enter_runtime();
  sched->ready_count.fetch_add(1, std::memory_order_seq_cst);
  thread_fiber* const self = here.self;
  carrier* const c = self ? self->on : nullptr;
  const bool is_own = !is_global && c && holds_token(*c);
  (is_own ? c->queue : sched->global_queue).push(fiber);
  bring_runner();
  leave_runtime();
}

// --- switching ------------------------------------------------------------------------------------

void after_park(thread_fiber& left) noexcept {
  park_state expected = park_state::parking;
  if (!left.state.compare_exchange_strong(expected, park_state::parked, std::memory_order_seq_cst))
    queue_fiber(left, false);
}
void after_yield(thread_fiber& left) noexcept { queue_fiber(left, false); }
void after_yield_of_stuck(thread_fiber& left) noexcept { queue_fiber(left, true); }

std::int64_t kernel_cpu_time_ns() noexcept {
  timespec used{};
  kernel::call(SYS_clock_gettime, CLOCK_THREAD_CPUTIME_ID, &used);
  return used.tv_sec * std::int64_t{1'000'000'000} + used.tv_nsec;
}

/// Credits `self` with what its carrier has used since it began to run there.
void account_cpu_time(thread_fiber& self, carrier& c) noexcept {
  const std::int64_t now = kernel_cpu_time_ns();
  if (c.cpu_mark_ns != 0) self.cpu_ns += now - c.cpu_mark_ns;
  c.cpu_mark_ns = now;
}

void switch_to(thread_fiber& next) noexcept {
  thread_fiber& self = *here.self;
  carrier& c = *self.on;
  if (__builtin_expect(sched->accounts_cpu_time.load(std::memory_order_relaxed), false))
    account_cpu_time(self, c);
  next.on = &c;
  c.running = &next;
  c.runs_fiber.store(!next.is_hub, std::memory_order_relaxed);
  c.switches.store(c.switches.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  if (!next.is_hub) {
    next.state.store(park_state::running, std::memory_order_relaxed);
    next.calls_in_slice = 0;
    adopt_signal_mask(c, next);
  }
  const bool has_keys = sched->has_memory_keys.load(std::memory_order_relaxed);
  if (__builtin_expect(has_keys, false)) self.key_rights = read_key_rights();
  coir_switch_thread(&self.stack_pointer, next.stack_pointer, next.thread_pointer);
  if (__builtin_expect(has_keys, false)) write_key_rights(self.key_rights);
  finish_switch();
}

/// Leaves the running context for the next fiber, or for the hub when there is none at hand.
void leave_to_next(void (*after)(thread_fiber&) noexcept) noexcept {
  thread_fiber& self = *here.self;
  carrier& c = *self.on;
  thread_fiber* const next = holds_token(c) ? take_near(c) : nullptr;
  c.after_switch = after;
  c.left = &self;
  switch_to(next ? *next : c.hub);
}

/// A fiber that has been caught holding its carrier is likely to do so again.
void give_token_if_hog(thread_fiber& self) noexcept {
  if (self.hog_rounds == 0 || self.is_hub) return;
  --self.hog_rounds;
  give_token(*self.on);
}

}  // namespace

constinit wiped<scheduler_state> sched{};
constinit thread_fiber main_thread{};
__thread per_thread here __attribute__((tls_model("initial-exec"), visibility("hidden")));

void finish_switch() noexcept {
  carrier& c = *here.self->on;
  if (auto* const after = c.after_switch) {
    c.after_switch = nullptr;
    after(*c.left);
  }
}

bool is_cancelled(const thread_fiber& fiber) noexcept { return is_cancelled(fiber.thread_pointer); }

bool is_cancelled(std::uintptr_t thread_pointer) noexcept {
  const int state = cancel_word(thread_pointer).load(std::memory_order_relaxed);
  return (state & (cancel_is_disabled | cancel_was_asked | cancel_is_exiting)) == cancel_was_asked;
}

void prepare_to_park(thread_fiber& self, bool is_cancellable) noexcept {
  enter_runtime();
  self.timed_out = false;
  self.is_cancellable.store(is_cancellable, std::memory_order_relaxed);
  if (!self.is_mask_window_open) {
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
      (self.is_mask_window_open && self.has_run_handler) ||
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
    if (!get_token(c)) {
      c.after_switch = &after_yield_of_stuck;
      c.left = &self;
      switch_to(c.hub);
    }
  } else if (thread_fiber* const next = take_near(c)) {
    c.after_switch = &after_yield;
    c.left = &self;
    switch_to(*next);
    give_token_if_hog(self);
  } else {
    constexpr unsigned yields_between_polls = 4;
    if (c.picks % yields_between_polls == 0) {
      poll_descriptors_now();
      expire_timers();
    }
    c.switches.store(c.switches.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  leave_runtime();
}

void rejoin_if_stuck() noexcept {
  thread_fiber& self = *here.self;
  if (__builtin_expect(!holds_token(*self.on), false) && !self.is_in_region) yield();
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
  self.is_in_region = true;
  count(counter::regions);
  give_token(*self.on);
}

void leave_region() noexcept {
  thread_fiber& self = *here.self;
  self.is_in_region = false;
  const int cancel_state = cancel_word(self.thread_pointer).load(std::memory_order_relaxed);
  if (__builtin_expect(cancel_state & cancel_is_exiting, false)) unblock_after_unwinding(*self.on);
  if (!holds_token(*self.on)) yield();
}

std::int64_t thread_cpu_time_ns() noexcept {
  thread_fiber& self = *here.self;
  enter_runtime();
  sched->accounts_cpu_time.store(true, std::memory_order_relaxed);
  account_cpu_time(self, *self.on);
  leave_runtime();
  return self.cpu_ns;
}

void leave_for_good(void (*after)(thread_fiber&) noexcept) noexcept {
  enter_runtime();
  leave_to_next(after);
  __builtin_trap();  // nobody switches to a fiber that has ended
}

void wake(thread_fiber& fiber) noexcept {
  park_state state = fiber.state.load(std::memory_order_seq_cst);
  for (;;) {
    if (state == park_state::parked) {
      if (fiber.state.compare_exchange_weak(state, park_state::notified,
                                            std::memory_order_seq_cst)) {
        queue_fiber(fiber, false);
        return;
      }
    } else if (state == park_state::parking) {
      if (fiber.state.compare_exchange_weak(state, park_state::notified, std::memory_order_seq_cst))
        return;
    } else {
      return;
    }
  }
}

void interrupt(thread_fiber& fiber) noexcept { wake(fiber); }

void start_fiber(thread_fiber& fiber) noexcept { wake(fiber); }

void run_hub() noexcept {
  carrier& c = *here.self->on;
  for (;;) {
    thread_fiber* next = nullptr;
    while (!next) {
      rest_while_stuck(c);
      next = take_near(c);
      if (!next) {
        poll_descriptors_now();
        expire_timers();
        next = take_near(c);
      }
      if (!next && sched->ready_count.load(std::memory_order_seq_cst) > 0) next = steal(c);
      if (!next) rest(c);
    }
    found_work();
    switch_to(*next);
  }
}

}  // namespace coir::threads
