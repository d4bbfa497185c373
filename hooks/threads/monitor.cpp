#include "hooks/threads/monitor.hpp"

#include "hooks/threads/carriers.hpp"
#include "hooks/threads/counters.hpp"
#include "hooks/threads/descriptor_slots.hpp"
#include "hooks/threads/settings.hpp"
#include "hooks/threads/signal_queue.hpp"
#include "hooks/threads/signal_routing.hpp"
#include "hooks/threads/state.hpp"
#include "hooks/threads/timers.hpp"
#include "hooks/threads/tokens.hpp"
#include "runtime/kernel/calls.hpp"
#include "runtime/kernel/thread_state.hpp"

#include <algorithm>
#include <ctime>

namespace coir::threads {
namespace {

constexpr std::size_t monitor_stack_bytes = 64 * 1024;
constexpr std::int64_t us = 1000;
constexpr std::int64_t short_period_us = 200;
// Resumes at which a fiber that was caught gives its token away by itself.
constexpr std::uint16_t hog_rounds = 16;
constexpr int quiet_looks_before_sleep = 5;

/// True when somebody could make use of one more token.
bool is_token_wanted() noexcept {
  if (sched->ready_count.load(std::memory_order_seq_cst) > 0) return true;
  if (sched->poller.load(std::memory_order_seq_cst)) return false;
  return has_armed_descriptors() || next_timer() != coir::detail::never;
}

/// True while somebody may have to wait for a look of the monitor. With a token free any wake finds
/// a runner by itself, but nobody sees an event or a timer when the poller has left to run a fiber
/// and all others sleep.
bool is_monitor_needed() noexcept {
  const int running = sched->running_count.load(std::memory_order_seq_cst);
  if (running >= sched->tokens) return is_token_wanted();
  return running > 0 && !sched->poller.load(std::memory_order_seq_cst);
}

void begin_watching(carrier& c, std::uint64_t switches, std::int64_t now) noexcept {
  c.seen_switches = switches;
  c.seen_since_ns = now;
  c.seen_cpu_ns = kernel::cpu_time_of_thread(c.tid);
}

/// True when it took a token from a carrier that sleeps in the kernel.
bool look_at(carrier& c, std::int64_t now, std::int64_t slept_us) noexcept {
  if (c.state.load(std::memory_order_relaxed) != carrier_state::running) return false;
  const std::uint64_t switches = c.switches.load(std::memory_order_relaxed);
  if (!c.runs_fiber.load(std::memory_order_relaxed) || switches != c.seen_switches) {
    begin_watching(c, switches, now);
    return false;
  }
  const std::int64_t cpu = kernel::cpu_time_of_thread(c.tid);
  const bool has_computed = cpu - c.seen_cpu_ns >= slept_us * us / 2;
  c.seen_cpu_ns = cpu;
  if (sched->running_count.load(std::memory_order_seq_cst) < sched->tokens) {
    if (is_monitor_needed()) bring_runner();  // it polls, when it finds nothing else to do
    return false;
  }
  if (!is_token_wanted()) return false;
  if (has_computed) {
    const bool is_long = now - c.seen_since_ns >= settings().monitor_us * us * 9 / 10;
    if (is_long && take_token_from(c, switches, hog_rounds)) count(counter::hand_overs);
    return false;
  }
  const char state = kernel::state_of_thread(c.tid);
  if (state != 'S' && state != 'D') return false;
  if (!take_token_from(c, switches, hog_rounds)) return false;
  count(counter::hand_overs);
  return true;
}

void sleep_us(std::int64_t period_us) noexcept {
  const timespec length{period_us / 1'000'000, period_us % 1'000'000 * us};
  kernel::call(SYS_nanosleep, &length, nullptr);
}

/// Until the last token is taken, work comes that finds none, or the poller leaves.
void sleep_until_needed() noexcept {
  sched->monitor_sleeps.store(1, std::memory_order_seq_cst);
  if (is_monitor_needed() || has_process_signals()) {
    sched->monitor_sleeps.store(0, std::memory_order_seq_cst);
    return;
  }
  while (sched->monitor_sleeps.load(std::memory_order_seq_cst) != 0)
    kernel::futex_wait(&sched->monitor_sleeps, 1);
}

void* watch(void*) {
  const std::int64_t period_us = settings().monitor_us;
  std::int64_t next_us = period_us;
  int quiet_looks = 0;
  for (;;) {
    sleep_us(next_us);
    route_process_signals();
    const std::int64_t now = coir::detail::now_ns();
    const int carriers = sched->carrier_count.load(std::memory_order_acquire);
    bool has_taken = false;
    for (int i = 0; i < carriers; ++i) has_taken |= look_at(*sched->carriers[i], now, next_us);
    next_us = has_taken ? short_period_us : std::min(next_us * 2, period_us);
    quiet_looks = is_monitor_needed() ? 0 : quiet_looks + 1;
    if (quiet_looks > quiet_looks_before_sleep) {
      quiet_looks = 0;
      sleep_until_needed();
      next_us = period_us;
    }
  }
}

}  // namespace

int start_monitor() noexcept {
  if (sched->has_monitor.exchange(true, std::memory_order_acq_rel)) return 0;
  return make_kernel_thread(&watch, nullptr, monitor_stack_bytes);
}

}  // namespace coir::threads
