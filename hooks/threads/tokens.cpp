#include "hooks/threads/tokens.hpp"

#include "hooks/threads/carriers.hpp"
#include "hooks/threads/monitor_call.hpp"
#include "hooks/threads/poller_kick.hpp"
#include "runtime/kernel/calls.hpp"

namespace coir::threads {
namespace {

carrier* take_idle() noexcept {
  carrier* const first = sched->idle;
  if (first) sched->idle = first->next_idle;
  return first;
}

void unpark_carrier(carrier& c) noexcept {
  c.may_go_on.store(1, std::memory_order_seq_cst);
  kernel::futex_wake(&c.may_go_on, 1);
}

/// Lets one more carrier run. Called with state_lock held, returns without it. With `is_forced`
/// also when no token is free: the caller has just taken one away.
void add_runner(bool is_forced) noexcept {
  if (carrier* const c = take_idle()) {
    become_running(*c);
    sched->state_lock.release();
    unpark_carrier(*c);
    wake_monitor_if_busy();
    return;
  }
  if (sched->poller.load(std::memory_order_seq_cst)) {
    sched->state_lock.release();
    kick_poller();
    return;
  }
  if (is_forced || is_token_free()) {
    sched->running_count.fetch_add(1, std::memory_order_seq_cst);
    sched->state_lock.release();
    wake_monitor_if_busy();
    if (make_carrier()) return;
    sched->state_lock.acquire();
    sched->running_count.fetch_sub(1, std::memory_order_seq_cst);
  }
  sched->is_waking.store(0, std::memory_order_seq_cst);
  sched->state_lock.release();
}

/// The token of `c` is free again, which matters when there is work, or when nobody polls.
void hand_over_from(carrier& c) noexcept {
  become(c, carrier_state::stuck);
  empty_queue(c);
  const bool is_needed = sched->ready_count.load(std::memory_order_seq_cst) > 0 ||
                         !sched->poller.load(std::memory_order_seq_cst);
  if (is_needed) {
    add_runner(true);
  } else {
    sched->state_lock.release();
  }
}

}  // namespace

void bring_runner() noexcept {
  if (!is_token_free()) {
    wake_monitor_if_asleep();
    return;
  }
  int expected = 0;
  if (!sched->is_waking.compare_exchange_strong(expected, 1, std::memory_order_seq_cst)) return;
  sched->state_lock.acquire();
  if (!is_token_free()) {
    sched->is_waking.store(0, std::memory_order_seq_cst);
    sched->state_lock.release();
    return;
  }
  add_runner(false);
}

void found_work() noexcept {
  sched->is_waking.store(0, std::memory_order_seq_cst);
  if (sched->ready_count.load(std::memory_order_seq_cst) > 0) bring_runner();
}

void give_token(carrier& c) noexcept {
  sched->state_lock.acquire();
  if (c.state.load(std::memory_order_relaxed) != carrier_state::running) {
    sched->state_lock.release();
    return;
  }
  hand_over_from(c);
}

void give_token_if_hog(thread_fiber& self) noexcept {
  if (self.hog_rounds == 0 || self.is_hub) return;
  --self.hog_rounds;
  give_token(*self.on);
}

bool get_token(carrier& c) noexcept {
  {
    const guard hold(sched->state_lock);
    if (!is_token_free()) return false;
    become_running(c);
  }
  wake_monitor_if_busy();
  return true;
}

bool take_token_from(carrier& c, std::uint64_t switches, std::uint16_t hog_rounds) noexcept {
  sched->state_lock.acquire();
  const bool is_still_stuck = c.state.load(std::memory_order_relaxed) == carrier_state::running &&
                              c.runs_fiber.load(std::memory_order_relaxed) &&
                              c.switches.load(std::memory_order_relaxed) == switches;
  if (!is_still_stuck) {
    sched->state_lock.release();
    return false;
  }
  c.running->hog_rounds = hog_rounds;
  hand_over_from(c);
  return true;
}

bool is_token_free() noexcept {
  return sched->running_count.load(std::memory_order_seq_cst) < sched->tokens;
}

void become_running(carrier& c) noexcept {
  c.state.store(carrier_state::running, std::memory_order_seq_cst);
  sched->running_count.fetch_add(1, std::memory_order_seq_cst);
}

void become(carrier& c, carrier_state other) noexcept {
  c.state.store(other, std::memory_order_seq_cst);
  sched->running_count.fetch_sub(1, std::memory_order_seq_cst);
}

void put_idle(carrier& c) noexcept {
  c.state.store(carrier_state::idle, std::memory_order_seq_cst);
  c.next_idle = sched->idle;
  sched->idle = &c;
}

void empty_queue(carrier& c) noexcept {
  while (thread_fiber* const fiber = c.queue.pop()) sched->global_queue.push(*fiber);
}

}  // namespace coir::threads
