#include "hooks/threads/switch.hpp"

#include "hooks/threads/machine.hpp"
#include "hooks/threads/signal_mask.hpp"
#include "hooks/threads/state.hpp"
#include "runtime/kernel/thread_state.hpp"

namespace coir::threads {
namespace {

/// Credits `self` with what its carrier has used since it began to run there.
void account_cpu_time(thread_fiber& self, carrier& c) noexcept {
  const std::int64_t now = kernel::clock_time_ns(CLOCK_THREAD_CPUTIME_ID);
  if (c.cpu_mark_ns != 0) self.cpu_ns += now - c.cpu_mark_ns;
  c.cpu_mark_ns = now;
}

}  // namespace

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

void switch_to(thread_fiber& next, void (*after)(thread_fiber&) noexcept) noexcept {
  thread_fiber& self = *here.self;
  self.on->after_switch = after;
  self.on->left = &self;
  switch_to(next);
}

void finish_switch() noexcept {
  carrier& c = *here.self->on;
  if (auto* const after = c.after_switch) {
    c.after_switch = nullptr;
    after(*c.left);
  }
}

std::int64_t thread_cpu_time_ns() noexcept {
  thread_fiber& self = *here.self;
  enter_runtime();
  sched->accounts_cpu_time.store(true, std::memory_order_relaxed);
  account_cpu_time(self, *self.on);
  leave_runtime();
  return self.cpu_ns;
}

}  // namespace coir::threads
