#include "runtime/sched/replay.hpp"

#include "runtime/base/assert.hpp"
#include "runtime/base/mix.hpp"
#include "runtime/kernel/calls.hpp"
#include "runtime/kernel/report.hpp"
#include "runtime/kernel/thread_host.hpp"

#include <algorithm>
#include <climits>
#include <utility>

#include <ctime>

namespace coir::detail {
namespace {

// One in so many turns the baton goes on although its holder has more to do
constexpr std::size_t hand_on_sides = 3;
// What a step takes in virtual time, so that those that wait by looking again come to an end
constexpr deadline step_ns = 100;
// How long all sleep when only something from outside can go on
constexpr long outside_look_ns = 100'000;
// Virtual time begins at a multiple of this, about 18 minutes, so that in every run timers share
// their ticks in the same way
constexpr int start_shift = 40;
// After so many waits it is time to say that nothing happens
constexpr int waits_until_report = 20'000;

constinit std::atomic<replay*> in_progress{nullptr};
constinit std::atomic<std::uint64_t> outside_begun{0};
constinit std::atomic<std::uint64_t> outside_ended{0};

void nap(deadline length) noexcept {
  const timespec time{0, static_cast<long>(std::clamp<deadline>(length, 1, outside_look_ns))};
  kernel::call(SYS_nanosleep, &time, nullptr);
}

}  // namespace

void begin_outside_work() noexcept { outside_begun.fetch_add(1, std::memory_order_relaxed); }

void end_outside_work() noexcept { outside_ended.fetch_add(1, std::memory_order_release); }

replay::replay(const replay_setup& how) : setup_(how), state_(how.seed) {
  COIR_ASSERT(!current());
  if (setup_.has_virtual_clock) set_virtual_now(((now_ns() >> start_shift) + 1) << start_shift);
  in_progress.store(this, std::memory_order_release);
}

replay::~replay() {
  COIR_ASSERT(present_ == 0);
  in_progress.store(nullptr, std::memory_order_release);
  if (setup_.has_virtual_clock) set_virtual_now(0);
}

replay* replay::current() noexcept { return in_progress.load(std::memory_order_acquire); }

std::size_t replay::enlist() {
  seats_.push_back({});
  seats_.back().is_present = true;
  ++present_;
  return seats_.size() - 1;
}

bool replay::is_present(std::size_t place) const noexcept { return seats_[place].is_present; }

void replay::arrive(std::size_t place) noexcept { wait_for_baton(place); }

void replay::strike(std::size_t place) noexcept {
  seats_[place].is_present = false;
  idle_in_a_row_ = 0;
  --present_;
}

void replay::leave(std::size_t place) noexcept {
  strike(place);
  if (present_ > 0) give(next_present(place));
}

void replay::keep_only(std::size_t place) noexcept {
  for (seat& s : seats_) s.is_present = false;
  seats_[place].is_present = true;
  present_ = 1;
}

std::size_t replay::roll(std::size_t sides) noexcept {
  state_ += mix_step;
  return static_cast<std::size_t>(mix(state_) % sides);
}

void replay::hand_on(std::size_t place, bool is_idle, deadline due) noexcept {
  std::size_t to = place;
  if (is_idle) {
    seats_[place].due = due;
    if (++idle_in_a_row_ > present_) return pass_time();
    to = next_present(place);
  } else {
    idle_in_a_row_ = 0;
    if (present_ > 1 && roll(hand_on_sides) == 0) to = any_present();
  }
  if (to == place) return;
  give(to);
  wait_for_baton(place);
}

void replay::note_pick(std::size_t place, std::uint64_t fiber_id) noexcept {
  ++trace_.steps;
  const std::uint64_t number = fiber_id == 0 ? 0 : fiber_id - setup_.first_fiber_id;
  trace_.hash = mix(trace_.hash + (std::uint64_t{place} << 48) + number + 1);
  idle_in_a_row_ = 0;
  waits_in_a_row_ = 0;
  if (setup_.has_virtual_clock) set_virtual_now(now_ns() + step_ns);
}

void replay::give(std::size_t to) noexcept {
  // Pairs with the acquire of whoever waits: the baton brings all that was done under it
  holder_.store(static_cast<std::uint32_t>(to), std::memory_order_release);
  kernel::wake_waiters(holder_, INT_MAX);
}

void replay::wait_for_baton(std::size_t place) noexcept {
  std::uint32_t holder;
  while ((holder = holder_.load(std::memory_order_acquire)) != place)
    kernel::wait_while(holder_, holder, never);
}

std::size_t replay::any_present() noexcept {
  std::size_t count = roll(present_);
  std::size_t place = 0;
  while (!seats_[place].is_present || count-- > 0) ++place;
  return place;
}

std::size_t replay::next_present(std::size_t after) const noexcept {
  std::size_t place = after;
  do {
    place = (place + 1) % seats_.size();
  } while (!seats_[place].is_present);
  return place;
}

/// All participants have looked in vain. Virtual time jumps, unless somebody outside is at work.
void replay::pass_time() noexcept {
  idle_in_a_row_ = 0;
  deadline first = never;
  for (const seat& s : seats_) {
    if (s.is_present) first = std::min(first, s.due);
  }
  // Pairs with the release of the end, before which a participant was woken: all look once more
  const std::uint64_t ended = outside_ended.load(std::memory_order_acquire);
  if (std::exchange(ends_seen_, ended) != ended) return;
  const deadline now = now_ns();
  if (!setup_.has_virtual_clock && first != never) return nap(first - now);
  if (first == never || ended != outside_begun.load(std::memory_order_relaxed))
    return wait_for_outside();
  waits_in_a_row_ = 0;
  if (first > now) set_virtual_now(first);
}

void replay::wait_for_outside() noexcept {
  nap(outside_look_ns);
  if (++waits_in_a_row_ != waits_until_report) return;
  kernel::report(
      "replay of seed %llu: for 2 s nobody could go on, and no time limit is set; it waits for "
      "other threads, or for ever",
      static_cast<unsigned long long>(setup_.seed));
}

}  // namespace coir::detail
