// What a worker does between fibers: the turn of its loop, the search for work, the sleep; and the
// turn of one that takes part in a replay.
#include "runtime/kernel/environment.hpp"
#include "runtime/kernel/report.hpp"
#include "runtime/kernel/syscall.hpp"
#include "runtime/sched/crew.hpp"
#include "runtime/sched/hand_shake.hpp"
#include "runtime/sched/monitor_bell.hpp"
#include "runtime/sched/replay.hpp"
#include "runtime/sched/worker.hpp"

#include <cstring>
#include <memory>
#include <utility>

namespace coir::detail {
namespace {

// A sleep that was shorter says that the next message is likely to come soon; it lasts at least as
// long as two wake-ups, where two workers wait for each other
constexpr std::int64_t short_sleep_ns = 200'000;
// In a replay, of the fibers that are ready
constexpr std::size_t choices_max = 16;
// From then on it lets threads go first that want its processor. Not before: it would get back too
// late for a message that is on its way
constexpr std::int64_t greedy_spin_ns = 5'000;
constexpr int looks_per_poll = 512;  // while it spins: a poll may be a system call
constexpr int looks_per_pause = 16;  // at the inbox: a pause may take 50 ns
constexpr std::int64_t trim_period_ns = 1'000'000'000;
constexpr int rounds_per_call = 16;  // of a foreign loop, which has other things to do
// A wait without end is looked at once it has lasted so long
constexpr std::int64_t idle_ns = 50'000'000;

void pause() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

control_block* worker::wait_for_ready() noexcept {
  control_block* next;
  do {
    turn(true);
  } while (!(next = take_ready()));
  return next;
}

/// Nobody is ready: begins fibers for the crew until one is.
control_block* worker::next_unbegun() noexcept {
  while (remote_call* const call = seat_->all->take(*seat_)) {
    call->invoke(*call);
    if (control_block* const first = run_queue_.pop_front()) return first;
  }
  return nullptr;
}

void worker::begin_replay(const replay_setup& how) {
  auto made = std::make_unique<replay>(how);
  const std::size_t place = made->enlist();
  take_part(*made.release(), place);
}

/// The one that COIR_SEED asks for, if it does.
void worker::begin_ambient_replay() {
  constexpr char seed[] = "COIR_SEED";
  if (!kernel::text_said(seed)) return;
  const char* const clock = kernel::text_said("COIR_CLOCK");
  const bool is_virtual = clock && std::strcmp(clock, "virtual") == 0;
  if (clock && !is_virtual && std::strcmp(clock, "real") != 0)
    kernel::report("COIR_CLOCK=%s is neither real nor virtual; using real", clock);
  begin_replay({.seed = kernel::number_said(seed, 0, ~std::uint64_t{0}, 0),
                .has_virtual_clock = is_virtual,
                .is_ambient = true});
}

void worker::end_replay() noexcept {
  next_turn_ = 0;  // at the next switch
  replay* const ended = std::exchange(replay_, nullptr);
  ended->leave(replay_place_);
  delete ended;
  timers_.begin_anew();
  set_clock(now_ns());
}

void worker::take_part(replay& in, std::size_t place) noexcept {
  replay_ = &in;
  replay_place_ = place;
  next_turn_ = 0;
  timers_.begin_anew();
  set_clock(now_ns());
}

/// A turn before each switch, in which the replay says who is next.
void worker::turn_in_replay(bool may_wait) noexcept {
  hand_on(false, 0);
  while (!look_for_ready() && may_wait) {
    if (seat_) seat_->all->note_idle();
    hand_on(true, timers_.next_due());
  }
  if (run_queue_.empty()) return;
  const control_block& chosen = run_queue_.bring_forward(replay_->roll(choices_max));
  replay_->note_pick(replay_place_, chosen.record->id);
}

/// While others have the baton this worker sleeps.
void worker::hand_on(bool is_idle, deadline next_due) noexcept {
  count_.slept.begin(real_now_ns());
  replay_->hand_on(replay_place_, is_idle, next_due);
  count_.slept.end(real_now_ns());
  tell_monitor();
}

bool worker::look_for_ready() noexcept {
  take_what_has_come();
  poll(0);
  while (seat_ && (run_queue_.empty() || replay_->roll(2) == 0)) {
    remote_call* const unbegun = seat_->all->take(*seat_);
    if (!unbegun) break;
    unbegun->invoke(*unbegun);
  }
  return !run_queue_.empty();
}

/// From other threads, and from the clock.
void worker::take_what_has_come() noexcept {
  run_remote_calls();
  const deadline now = now_ns();
  set_clock(now);
  expire_timers(now);
}

void worker::turn(bool may_wait) noexcept {
  if (sleeps_in_foreign_loop_) [[unlikely]]
    end_foreign_sleep();
  if (replay_) [[unlikely]]
    return turn_in_replay(may_wait);
  next_turn_ = static_cast<std::int64_t>(count_.switches.read()) + events_per_turn;
  take_what_has_come();
  if (seat_) {
    if (remote_call* const oldest = seat_->all->take_oldest(*seat_)) oldest->invoke(*oldest);
  }
  if (!may_wait || !run_queue_.empty()) return poll(0);
  if (spin_ns_ > 0 && (is_spin_said_ || does_spin_pay_) && spin()) return;
  wait_for_events();
}

void worker::poll(std::int64_t limit) noexcept {
  count_.polls.add();
  reactor_->poll(limit, run_queue_);
}

/// While the main fiber waits for other fibers and no timer is armed, the first wait is only long:
/// when that brings nothing, it is time to ask whether anything ever will.
void worker::wait_for_events() noexcept {
  std::int64_t limit = wait_limit();
  const bool is_suspect = limit < 0 && is_for_fibers(main_);
  if (is_suspect && !was_idle_) limit = idle_ns;
  if (is_suspect && was_idle_) on_idle_without_timers(*this);
  was_idle_ = sleep(limit) && is_suspect && run_queue_.empty() && inbox_.empty();
}

/// Waits in the kernel, unless there is something to do; false when there was.
bool worker::sleep(std::int64_t limit) noexcept {
  if (!run_queue_.empty()) {
    poll(0);
    return false;
  }
  deadline before = 0;
  const bool has_slept = sleep_behind(
      inbox_, wakes_due_, [this] { return !seat_ || seat_->all->begin_rest(*seat_); },
      [&](bool may_wait) {
        if (may_wait) count_.slept.begin(before = real_now_ns());
        poll(may_wait ? limit : 0);
      },
      [this] {
        if (seat_) seat_->all->end_rest(*seat_);
      });
  if (!has_slept) return false;
  const deadline after = real_now_ns();
  set_clock(now_ns());
  count_.sleeps.add();
  count_.slept.end(after);
  tell_monitor();
  does_spin_pay_ = after - before < short_sleep_ns;
  return true;
}

std::int64_t worker::run_once() noexcept {
  for (int round = 0; round < rounds_per_call; ++round) {
    turn(false);
    if (!run_queue_.empty()) {
      yield();
    } else if (begin_foreign_sleep()) {
      return wait_limit();
    }
  }
  return 0;
}

/// The thread is about to wait elsewhere: from now on who posts something wakes the reactor. False
/// when there is something to do.
bool worker::begin_foreign_sleep() noexcept {
  if (!reactor_->prepare_foreign_wait() || !inbox_.begin_sleep()) return false;
  sleeps_in_foreign_loop_ = true;
  count_.slept.begin(real_now_ns());
  return true;
}

void worker::end_foreign_sleep() noexcept {
  sleeps_in_foreign_loop_ = false;
  if (!inbox_.end_sleep()) ++wakes_due_;
  count_.slept.end(real_now_ns());
  tell_monitor();
}

/// Looks again and again for a short while before sleeping: on a virtual machine waking a halted
/// processor costs more. True when something has come.
bool worker::spin() noexcept {
  const deadline begin = now_ns();
  for (;;) {
    for (int i = 0; i < looks_per_poll; ++i) {
      if (!inbox_.empty()) {
        run_remote_calls();
        if (!run_queue_.empty()) return true;
      }
      if (i % looks_per_pause == 0) {
        if (seat_ && seat_->all->may_have_work(*seat_)) return true;
        pause();
      }
    }
    poll(0);
    const deadline now = now_ns();
    expire_timers(now);
    if (!run_queue_.empty()) return true;
    if (now >= begin + spin_ns_) return does_spin_pay_ = false;
    if (now >= begin + greedy_spin_ns) kernel::call(SYS_sched_yield);
  }
}

/// How long the reactor may wait, in ns; -1: without limit. Before a wait that is not short, idle
/// stacks are trimmed.
std::int64_t worker::wait_limit() noexcept {
  const deadline due = timers_.next_due();
  const deadline now = now_ns();
  if (now >= next_trim_) {
    next_trim_ = now + trim_period_ns;
    pool_.trim();
  }
  if (due == never) return -1;
  return due > now ? due - now : 0;
}

void worker::expire_timers(deadline now) noexcept {
  if (timers_.empty()) return;
  while (timer_node* node = timers_.expire_one(now)) {
    if (node->expire) {
      node->expire(*node);
      continue;
    }
    control_block& f = fiber_record::owner_of(*node);
    f.timed_out = true;
    run_queue_.make_ready(f);
  }
}

void worker::run_remote_calls() noexcept {
  remote_call* call = inbox_.take_all();
  while (call) {
    remote_call* const after = call->next;
    call->invoke(*call);
    call = after;
  }
}

}  // namespace coir::detail
