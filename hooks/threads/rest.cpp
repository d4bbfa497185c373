#include "hooks/threads/rest.hpp"

#include "hooks/threads/machine.hpp"
#include "hooks/threads/monitor_call.hpp"
#include "hooks/threads/poller.hpp"
#include "hooks/threads/signal_mask.hpp"
#include "hooks/threads/signal_queue.hpp"
#include "hooks/threads/signal_routing.hpp"
#include "hooks/threads/state.hpp"
#include "hooks/threads/timers.hpp"
#include "hooks/threads/tokens.hpp"
#include "runtime/kernel/calls.hpp"

#include <algorithm>

namespace coir::threads {
namespace {

void sleep_as_idle(carrier& c) noexcept {
  while (c.may_go_on.load(std::memory_order_acquire) == 0) kernel::futex_wait(&c.may_go_on, 0);
  c.may_go_on.store(0, std::memory_order_relaxed);
}

std::int64_t time_until(deadline until) noexcept {
  if (until == coir::detail::never) return -1;
  const std::int64_t left = until - coir::detail::now_ns();
  return left > 0 ? left : 0;
}

/// Called with state_lock held and the token given back; returns without the lock.
void poll_as_poller(carrier& c) noexcept {
  sched->poller.store(&c, std::memory_order_seq_cst);
  c.state.store(carrier_state::polling, std::memory_order_seq_cst);
  const deadline announced = next_timer();
  sched->poller_until.store(announced, std::memory_order_seq_cst);
  sched->state_lock.release();
  // Whoever arms a timer or queues a fiber after this look sees the poller and kicks it. It must
  // not sleep longer than it has announced: the announced timer may be gone by now, and one that is
  // armed between the two would kick nobody.
  const deadline until = std::min(announced, next_timer());
  const bool has_work =
      sched->ready_count.load(std::memory_order_seq_cst) > 0 || has_process_signals();
  poll_descriptors(
      has_work ? 0 : time_until(until),
      [](void* argument) noexcept {
        carrier& self = *static_cast<carrier*>(argument);
        const guard hold(sched->state_lock);
        sched->poller.store(nullptr, std::memory_order_seq_cst);
        if (is_token_free()) {
          become_running(self);
          sched->is_waking.store(1, std::memory_order_seq_cst);
        } else {
          self.state.store(carrier_state::stuck, std::memory_order_seq_cst);
          sched->is_waking.store(0, std::memory_order_seq_cst);
        }
      },
      &c);
  wake_monitor_if_asleep();  // the others sleep, and nobody polls now
  route_process_signals();
  expire_timers();
}

}  // namespace

void rest_while_stuck(carrier& c) noexcept {
  if (c.state.load(std::memory_order_seq_cst) != carrier_state::stuck) return;
  sched->state_lock.acquire();
  if (is_token_free()) {
    become_running(c);
    sched->state_lock.release();
    wake_monitor_if_busy();
    return;
  }
  put_idle(c);
  empty_queue(c);
  sched->state_lock.release();
  block_all_signals(c);
  sleep_as_idle(c);
}

void rest(carrier& c) noexcept {
  sched->state_lock.acquire();
  sched->is_waking.store(0, std::memory_order_seq_cst);
  if (c.state.load(std::memory_order_relaxed) == carrier_state::stuck) {  // taken meanwhile
    sched->state_lock.release();
    return;
  }
  become(c, carrier_state::idle);
  if (sched->ready_count.load(std::memory_order_seq_cst) > 0) {
    become_running(c);
    sched->state_lock.release();
    relax();
    return;
  }
  if (!sched->poller.load(std::memory_order_seq_cst)) {
    poll_as_poller(c);
    return;
  }
  put_idle(c);
  sched->state_lock.release();
  block_all_signals(c);
  sleep_as_idle(c);
}

}  // namespace coir::threads
