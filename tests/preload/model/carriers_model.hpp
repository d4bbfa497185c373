/// How kernel threads ("carriers") share the right to run fibers ("tokens"): who is woken when
/// there is work, how they go to sleep, the one poller among them, and what the monitor does about
/// a carrier that is stuck.
///
///     enqueue: ready count + 1; put the fiber into a queue; notify
///     notify:  if a token is free, and CAS waking 0 -> 1: under the lock S: wake an idle carrier,
///              else kick the poller, else start a carrier, else waking = 0
///     find:    own queue, common queue, a poll that does not block, steal; found: waking = 0, and
///              notify if there is more
///     idle:    lock S, waking = 0, give the token back, look at the ready count again; then become
///              the poller, if there is none, or sleep
///     poller:  tells until when it polls, and polls no longer than that; only its poll consumes
///              the kick; when it returns it takes a token first, if there is one
///     monitor: takes the token of a carrier that sits in its fiber, moves what that has in its
///              queue to the common one, and lets one more carrier run
///     rejoin:  a carrier that has lost its token notices at its next switch: it takes a free one,
///              or queues its fiber and goes idle
///
/// Fibers are small programs; parking_model.hpp has what makes their parking safe, so here a park
/// is one step, with the state PARKING before it.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace coir::model {

/// Ways to get it wrong.
enum class carriers_mutant : std::uint8_t {
  none,
  waking_left_by_notify,  ///< a wake that finds no token free after all leaves waking at 1
  kick_eaten,             ///< a poll that does not block consumes the kick
  no_drain,               ///< what is in the queue of a stuck carrier stays there
  no_second_look,         ///< a carrier that goes idle does not look at the ready count again
  no_kick_for_timer,      ///< a new first timer does not kick the poller
  polls_past_its_word,    ///< the poller waits longer than it told when the first timer is gone
};

/// What a fiber or the native thread does in one step of its program.
enum class op : std::uint8_t {
  end,
  enqueue,     ///< makes fiber `value` ready
  set,         ///< sets flag `value`
  foreign,     ///< waits in foreign code, on its kernel thread, for flag `value`
  region,      ///< gives the token away, waits so, and takes one back
  spin,        ///< yields until flag `value` is set
  sleep,       ///< parks until a timer fires
  await,       ///< parks until the descriptor is ready
  make_ready,  ///< the descriptor becomes ready
};
struct instruction {
  op what = op::end;
  std::uint8_t value = 0;
};
using script = std::vector<instruction>;

/// One set of programs, and the protocol with or without a mistake.
struct carriers_model {
  static constexpr int carriers_max = 3, fibers_max = 4;

  int tokens = 1;
  int carriers = 2;  ///< how many kernel threads there may be
  bool has_monitor = false;
  std::uint8_t false_alarms = 0;    ///< how often the monitor takes one for stuck that is not
  std::vector<script> fibers = {};  ///< the first runs when all begins; the others when made ready
  script native = {};
  carriers_mutant mutant = carriers_mutant::none;

  enum status : std::uint8_t { unborn, run, stuck, idle, poll };
  // A line or two for each part of the protocol.
  // clang-format off
  enum place : std::uint8_t {
    // a carrier looks for work
    find, rejoin, sleeping, look_local, got, clear_waking, notify_more, poll_now, poll_timers,
    look_again, steal, go_idle, idle_give, idle_look, idle_poller, idle_until, idle_read_timer,
    idle_look_last, polling, polled, polled_kick, polled_event, polled_timers,
    // it runs a fiber
    fiber, post, leave, leave_local, leave_got, edge, park, waiting, region_wait, region_look,
    arm, arm_kick,
    // anybody
    wake, enq_count, enq_put, notify, notify_swap, notify_lock, add_runner, add_wake, add_kick,
    // the native thread and the monitor
    program, watch, mark, over,
  };
  // clang-format on
  enum fiber_status : std::uint8_t { absent, running, parking, notified, parked, queued, ended };

  struct thread {
    place at = find;
    place back = find;       ///< where to go on after enqueue and notify
    std::uint8_t who = 0;    ///< the fiber in its hands, plus one
    std::uint8_t other = 0;  ///< the carrier or fiber it is about to wake or mark, plus one
    std::uint8_t flag = 0;   ///< forced, or what the poll brought
    std::uint8_t to_common = 0;
  };
  struct carrier {
    status st = unborn;
    std::uint8_t runs = 0;  ///< the fiber it runs, plus one
    std::uint8_t was_woken = 0;
    std::uint8_t is_on_fiber = 0;
    std::uint8_t left_by = 0;  ///< the fiber to be published by what comes next, plus one
    std::uint8_t yields = 0;   ///< that fiber goes back into the queue
    std::uint8_t timeout = 0;  ///< as poller: the timer that it sleeps until; 0: for ever
    std::uint8_t queue[fibers_max] = {};
  };
  struct state {
    thread threads[carriers_max + 2];  ///< the carriers, the native thread, the monitor
    carrier all[carriers_max];
    fiber_status fibers[fibers_max] = {};
    std::uint8_t steps[fibers_max + 1] = {};  ///< where each program is
    std::uint8_t lock = 0;                    ///< S: a thread plus one
    std::uint8_t active = 0;
    std::uint8_t ready = 0;
    std::uint8_t waking = 0;
    std::uint8_t poller = 0;
    std::uint8_t kick = 0, kicked = 0;
    std::uint8_t common[fibers_max] = {};
    std::uint8_t idle[carriers_max] = {};
    std::uint8_t timer[fibers_max] = {};  ///< the order of its deadline; 0: not armed
    std::uint8_t timers_made = 0;
    std::uint8_t poll_until = 0;  ///< the deadline of the poller, as it told; 0: never
    std::uint8_t armed = 0;       ///< fibers that wait for the descriptor
    std::uint8_t is_fd_ready = 0;
    std::uint8_t flags = 0;
    std::uint8_t alarms_left = 0;
    std::uint8_t fault = 0;
  };
  enum fault : std::uint8_t { fine, queued_twice, run_twice, too_many_tokens };

  static constexpr int native_thread = carriers_max, monitor = carriers_max + 1;

  state initial() const;
  /// Null, or which invariant the state breaks.
  const char* fault_of(const state& s) const;
  bool is_done(const state& s) const;

  template <class Visit>
  void for_each_step(const state& from, Visit visit) const {
    static constexpr const char* names[] = {"carrier 1", "carrier 2", "carrier 3", "native thread",
                                            "monitor"};
    if (is_done(from)) return;
    for (int t = 0; t < carriers_max + 2; ++t) {
      if (t < carriers_max && from.all[t].st == unborn) continue;
      for (int choice = 0; choice < choices_of(from, t); ++choice) {
        state s = from;
        if (const char* what = step(s, t, choice)) visit(s, names[t], what);
      }
    }
  }

 private:
  // --- queues and lists --------------------------------------------------------------------------

  template <std::size_t Size>
  static bool push(std::uint8_t (&list)[Size], std::uint8_t item) {
    for (std::uint8_t& slot : list) {
      if (slot == 0) {
        slot = item;
        return true;
      }
    }
    return false;
  }
  template <std::size_t Size>
  static std::uint8_t pop(std::uint8_t (&list)[Size]) {
    const std::uint8_t first = list[0];
    for (std::size_t i = 1; i < Size; ++i) list[i - 1] = list[i];
    list[Size - 1] = 0;
    return first;
  }
  static void move_all(state& s, carrier& from) {
    while (from.queue[0]) push(s.common, pop(from.queue));
  }

  static std::uint8_t first_timer(const state& s) {
    std::uint8_t first = 0;
    for (std::uint8_t one : s.timer) {
      if (one && (!first || one < first)) first = one;
    }
    return first;
  }

  bool lock(state& s, int t) const {
    if (s.lock) return false;
    s.lock = static_cast<std::uint8_t>(t + 1);
    return true;
  }

  // --- steps of anybody: carriers_model.cpp ------------------------------------------------------

  int choices_of(const state& s, int t) const;
  /// Puts fiber `f` (plus one) into the queue and goes on at `back`.
  static const char* start_enqueue(thread& me, std::uint8_t f, place back, bool to_common,
                                   const char* what);
  /// Wakes fiber `f` (plus one) and goes on at `back`.
  static const char* start_wake(thread& me, std::uint8_t f, place back, const char* what);
  const char* step(state& s, int t, int choice) const;
  static const char* go_back(thread& me, const char* what);
  const char* wake_fiber(state& s, thread& me) const;
  const char* put(state& s, int t, thread& me) const;
  /// S is held, and let go.
  const char* run_one_more(state& s, thread& me) const;
  const char* step_native(state& s, thread& me) const;

  // --- the monitor -------------------------------------------------------------------------------

  bool is_blocked(const state& s, int c) const;
  const char* watch_one(state& s, thread& me, int c) const;
  const char* mark_stuck(state& s, int t, thread& me) const;
  void take_token(state& s, carrier& c) const;

  // --- steps of carriers: carrier_steps.cpp ------------------------------------------------------

  const char* step_carrier(state& s, int t, thread& me, carrier& c, int choice) const;
  /// Takes the first of its own queue, or of the common one, which comes first now and then.
  static const char* take(state& s, carrier& c, thread& me, int choice, place found, place none);
  static std::uint8_t take_event(state& s);
  static std::uint8_t take_timer(state& s);
  static void start_fiber(state& s, carrier& c);
  const char* step_fiber(state& s, int t, thread& me, carrier& c, int choice) const;
  /// What runs first after a switch: publishes the fiber that was left, then goes on with the next
  /// one, or with the search for one.
  const char* publish(state& s, thread& me, carrier& c) const;
  const char* step_program(state& s, thread& me, carrier& c, int f) const;
};

}  // namespace coir::model
