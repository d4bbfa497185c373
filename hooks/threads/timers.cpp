#include "hooks/threads/timers.hpp"

#include "hooks/threads/poller_kick.hpp"
#include "hooks/threads/ready.hpp"
#include "runtime/reactor/timer_wheel.hpp"

namespace coir::threads {
namespace {

struct timers_state {
  lock guard_of_wheel;
  coir::detail::timer_wheel wheel;
  std::atomic<std::int64_t> armed;  ///< so many timers
  std::atomic<deadline> next;       ///< of the wheel, while armed > 0
};

constinit wiped<timers_state> timers{};

void note_next() noexcept {
  timers->next.store(timers->wheel.next_due(), std::memory_order_seq_cst);
}

}  // namespace

deadline next_timer() noexcept {
  if (timers->armed.load(std::memory_order_seq_cst) == 0) return coir::detail::never;
  return timers->next.load(std::memory_order_seq_cst);
}

void arm_timer(thread_fiber& fiber, deadline until) noexcept {
  if (until == coir::detail::never) return;
  deadline due;
  {
    const guard hold(timers->guard_of_wheel);
    timers->wheel.arm(fiber.timer, until);
    note_next();
    timers->armed.fetch_add(1, std::memory_order_seq_cst);
    due = timers->next.load(std::memory_order_relaxed);
  }
  if (sched->poller.load(std::memory_order_seq_cst) &&
      due < sched->poller_until.load(std::memory_order_seq_cst))
    kick_poller();
}

void disarm_timer(thread_fiber& fiber) noexcept {
  // Only the fiber itself arms, so that what it does not see armed stays so.
  if (fiber.timer.when == coir::detail::never) return;
  const guard hold(timers->guard_of_wheel);
  if (fiber.timer.is_armed()) {
    timers->wheel.disarm(fiber.timer);
    timers->armed.fetch_sub(1, std::memory_order_relaxed);
    note_next();
  }
  fiber.timer.when = coir::detail::never;
}

int expire_timers() noexcept {
  if (next_timer() == coir::detail::never) return 0;
  const deadline now = coir::detail::now_ns();
  if (next_timer() > now) return 0;
  int woken = 0;
  const guard hold(timers->guard_of_wheel);
  while (coir::detail::timer_node* const due = timers->wheel.expire_one(now)) {
    thread_fiber& fiber = thread_fiber::owner_of(*due);
    timers->armed.fetch_sub(1, std::memory_order_relaxed);
    fiber.timed_out = true;
    wake(fiber);
    ++woken;
  }
  note_next();
  return woken;
}

bool start_timers() noexcept { return timers.wipe_on_fork(); }

}  // namespace coir::threads
