#include "hooks/threads/pick.hpp"

#include "hooks/threads/poller.hpp"
#include "hooks/threads/state.hpp"
#include "hooks/threads/timers.hpp"

namespace coir::threads {
namespace {

constexpr unsigned picks_between_polls = 64;
// Fibers that run long before they park would make events wait for a long time.
constexpr std::int64_t poll_period_ns = 200'000;
constexpr unsigned picks_between_looks = 8;
constexpr unsigned picks_between_global_looks = 32;

/// For timers, and for events when it is time.
void look_around(carrier& c, bool is_time) noexcept {
  const std::int64_t now = coir::detail::now_ns();
  if (is_time || now - c.polled_ns > poll_period_ns) {
    c.polled_ns = now;
    poll_descriptors_now();
  }
  expire_timers();
}

}  // namespace

thread_fiber* take_near(carrier& c) noexcept {
  const unsigned pick = ++c.picks;
  if (pick % picks_between_looks == 0) look_around(c, pick % picks_between_polls == 0);
  thread_fiber* found = nullptr;
  if (pick % picks_between_global_looks == 0) found = sched->global_queue.pop();
  if (!found) found = c.queue.pop();
  if (!found) found = sched->global_queue.pop();
  if (found) sched->ready_count.fetch_sub(1, std::memory_order_seq_cst);
  return found;
}

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

void look_for_events() noexcept {
  poll_descriptors_now();
  expire_timers();
}

}  // namespace coir::threads
