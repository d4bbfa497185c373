#include "hooks/threads/carriers.hpp"

#include "hooks/threads/descriptors.hpp"
#include "hooks/threads/monitor.hpp"
#include "hooks/threads/report.hpp"
#include "hooks/threads/signals.hpp"
#include "hooks/threads/thread_memory.hpp"
#include "hooks/threads/timers.hpp"
#include "runtime/kernel/report.hpp"

#include <algorithm>
#include <new>

#include <pthread.h>
#include <sys/mman.h>

namespace coir::threads {
namespace {

constexpr std::size_t carrier_stack_bytes = 256 * 1024;

constinit thread_maker make_real_thread = nullptr;

// --- changes of state; the caller holds state_lock -------------------------------------------------

void become_running(carrier& c) noexcept {
  c.state.store(carrier_state::running, std::memory_order_seq_cst);
  sched->running_count.fetch_add(1, std::memory_order_seq_cst);
}

void become(carrier& c, carrier_state other) noexcept {
  c.state.store(other, std::memory_order_seq_cst);
  sched->running_count.fetch_sub(1, std::memory_order_seq_cst);
}

bool is_token_free() noexcept {
  return sched->running_count.load(std::memory_order_seq_cst) < sched->tokens;
}

carrier* take_idle() noexcept {
  carrier* const first = sched->idle;
  if (first) sched->idle = first->next_idle;
  return first;
}

void put_idle(carrier& c) noexcept {
  c.state.store(carrier_state::idle, std::memory_order_seq_cst);
  c.next_idle = sched->idle;
  sched->idle = &c;
}

// --- carriers -------------------------------------------------------------------------------------

/// Fibers in the queue of a carrier without a token would wait for ever.
void empty_queue(carrier& c) noexcept {
  while (thread_fiber* const fiber = c.queue.pop()) sched->global_queue.push(*fiber);
}

carrier* allocate_carrier() noexcept {
  void* const memory =
      ::mmap(nullptr, sizeof(carrier), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  auto* const c = new (memory) carrier{};
  c->hub.is_hub = true;
  c->hub.on = c;
  return c;
}

bool publish(carrier& c) noexcept {
  const guard hold(sched->carriers_lock);
  const int count = sched->carrier_count.load(std::memory_order_relaxed);
  if (count == carriers_max) return false;
  c.index = count;
  c.tid = static_cast<pid_t>(kernel::call(SYS_gettid));
  sched->carriers[count] = &c;
  sched->carrier_count.store(count + 1, std::memory_order_release);
  return true;
}

void* carrier_main(void* argument) {
  carrier& c = *static_cast<carrier*>(argument);
  c.hub.thread_pointer = threads::thread_pointer();
  c.kernel_mask = ~std::uint64_t{0};
  here.self = &c.hub;
  prepare_signal_stack(c);
  publish(c);
  run_hub();
}

void begin_on_hub() noexcept {
  finish_switch();
  run_hub();
}

void report_limit(const char* reason) noexcept {
  if (sched->has_reported_limit) return;
  sched->has_reported_limit = true;
  kernel::report(
      "%d kernel threads are blocked in calls that coir cannot make wait, and %s; other "
      "threads go on as these return (COIR_KERNEL_THREADS raises the limit)",
      sched->carrier_count.load(), reason);
}

/// Makes one more carrier, which holds the token that the caller has taken for it.
bool make_carrier() noexcept {
  if (sched->carrier_count.load(std::memory_order_relaxed) >= sched->kernel_threads_max) {
    report_limit("no more are allowed");
    return false;
  }
  carrier* const c = allocate_carrier();
  if (!c) return false;
  c->state.store(carrier_state::running, std::memory_order_relaxed);
  if (make_kernel_thread(&carrier_main, c, carrier_stack_bytes) == 0) return true;
  ::munmap(c, sizeof *c);
  report_limit("the system gives no more");
  return false;
}

void unpark_carrier(carrier& c) noexcept {
  c.may_go_on.store(1, std::memory_order_seq_cst);
  kernel::futex_wake(&c.may_go_on, 1);
}

void sleep_as_idle(carrier& c) noexcept {
  while (c.may_go_on.load(std::memory_order_acquire) == 0) kernel::futex_wait(&c.may_go_on, 0);
  c.may_go_on.store(0, std::memory_order_relaxed);
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
  // Whoever arms a timer or queues a fiber after this look sees the poller and kicks it. It must not
  // sleep longer than it has announced: the announced timer may be gone by now, and one that is
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

int make_kernel_thread(void* (*function)(void*), void* argument, std::size_t stack_bytes) noexcept {
  const std::uint64_t all = ~std::uint64_t{0};
  std::uint64_t usual = 0;
  set_kernel_mask(all, &usual);
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setstacksize(&attributes, stack_bytes);
  ::pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_t made;
  const int error = make_real_thread(&made, &attributes, function, argument);
  ::pthread_attr_destroy(&attributes);
  set_kernel_mask(usual, nullptr);
  return error;
}

bool make_first_carrier(thread_maker maker) noexcept {
  make_real_thread = maker;
  carrier* const c = allocate_carrier();
  if (!c) return false;
  // The main thread moves to other carriers, so that this one needs a control block of its own.
  thread_fiber* const context = make_thread({carrier_stack_bytes, 1, nullptr, &begin_on_hub});
  if (!context) return false;
  c->hub.stack_pointer = context->stack_pointer;
  c->hub.thread_pointer = context->thread_pointer;
  set_self_of(context->thread_pointer, c->hub);
  main_thread.on = c;
  c->running = &main_thread;
  c->runs_fiber.store(true, std::memory_order_relaxed);
  c->kernel_mask = main_thread.blocked;
  const guard hold(sched->state_lock);
  become_running(*c);
  return publish(*c);
}

void bring_runner() noexcept {
  if (!is_token_free()) {
    wake_monitor_if_asleep();
    return;
  }
  int expected = 0;
  if (!sched->is_waking.compare_exchange_strong(expected, 1, std::memory_order_seq_cst)) return;
  count(counter::runners_brought);
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
  count(counter::tokens_given);
  hand_over_from(c);
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

bool get_token(carrier& c) noexcept {
  {
    const guard hold(sched->state_lock);
    if (!is_token_free()) return false;
    become_running(c);
  }
  wake_monitor_if_busy();
  return true;
}

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
