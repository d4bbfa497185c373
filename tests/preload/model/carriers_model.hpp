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

  state initial() const {
    state s{};
    s.all[0].st = run;
    s.active = 1;
    s.common[0] = 1;
    s.ready = 1;
    s.fibers[0] = queued;
    s.alarms_left = false_alarms;
    s.threads[native_thread].at = native.empty() ? over : program;
    s.threads[monitor].at = has_monitor ? watch : over;
    return s;
  }

  const char* fault_of(const state& s) const {
    if (s.fault == queued_twice) return "a fiber is in two queues";
    if (s.fault == run_twice) return "a fiber is run that is not queued";
    int holders = 0;
    for (const carrier& one : s.all) holders += one.st == run;
    if (s.lock == 0 && (holders != s.active || holders > tokens))
      return "more carriers have a token than there are, or the count of them is wrong";
    return nullptr;
  }

  bool is_done(const state& s) const {
    for (std::size_t f = 0; f < fibers.size(); ++f) {
      if (s.fibers[f] != ended) return false;
    }
    return s.threads[native_thread].at == over;
  }

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

  // --- steps -------------------------------------------------------------------------------------

  int choices_of(const state& s, int t) const {
    switch (s.threads[t].at) {
      case poll_timers:
        return 2;  // the deadline may have come, or not
      case look_local:
      case leave_local:
        return 2;  // now and then the common queue comes first
      case watch:
        return carriers_max;  // whom it looks at
      default:
        return 1;
    }
  }

  /// Puts fiber `f` (plus one) into the queue and goes on at `back`.
  static const char* start_enqueue(thread& me, std::uint8_t f, place back, bool to_common,
                                   const char* what) {
    me.who = f;
    me.back = back;
    me.to_common = to_common;
    me.at = enq_count;
    return what;
  }

  /// Wakes fiber `f` (plus one) and goes on at `back`.
  static const char* start_wake(thread& me, std::uint8_t f, place back, const char* what) {
    me.who = f;
    me.back = back;
    me.to_common = 0;
    me.at = wake;
    return what;
  }

  const char* step(state& s, int t, int choice) const {
    thread& me = s.threads[t];
    switch (me.at) {
      // --- anybody: wake, enqueue, notify, add a runner
      case wake:
        return wake_fiber(s, me);
      case enq_count:
        ++s.ready;
        me.at = enq_put;
        return "enqueue: counts it";
      case enq_put:
        return put(s, t, me);
      case notify:
        if (s.active >= tokens) return go_back(me, "notify: all tokens are taken");
        me.at = notify_swap;
        return "notify: a token is free";
      case notify_swap:
        if (s.waking) return go_back(me, "notify: somebody is being woken already");
        s.waking = 1;
        me.at = notify_lock;
        return "notify: waking = 1";
      case notify_lock:
        if (!lock(s, t)) return nullptr;
        if (s.active >= tokens) {
          if (mutant != carriers_mutant::waking_left_by_notify) s.waking = 0;
          s.lock = 0;
          return go_back(me, "notify: under the lock, no token is free any more");
        }
        me.flag = 0;
        me.at = add_runner;
        return "notify: locks S";
      case add_runner:
        return run_one_more(s, me);
      case add_wake:
        s.all[me.other - 1].was_woken = 1;
        me.other = 0;
        return go_back(me, "wakes the idle carrier");
      case add_kick:
        if (!s.kicked) s.kick = 1;
        s.kicked = 1;
        return go_back(me, "kicks the poller");
      case program:
        return step_native(s, me);
      case watch:
        return watch_one(s, me, choice);
      case mark:
        return mark_stuck(s, t, me);
      case over:
        return nullptr;
      default:
        break;
    }
    return step_carrier(s, t, me, s.all[t], choice);
  }

  static const char* go_back(thread& me, const char* what) {
    me.at = me.back;
    me.back = find;
    me.who = me.to_common = me.flag = 0;
    return what;
  }

  const char* wake_fiber(state& s, thread& me) const {
    fiber_status& st = s.fibers[me.who - 1];
    if (st == parking) {
      st = notified;
      return go_back(me, "wake: PARKING, so it becomes NOTIFIED");
    }
    if (st != parked && st != absent) return go_back(me, "wake: nothing to wake");
    me.at = enq_count;
    st = notified;
    return "wake: PARKED, so it is enqueued";
  }

  const char* put(state& s, int t, thread& me) const {
    fiber_status& st = s.fibers[me.who - 1];
    if (st == queued) s.fault = queued_twice;
    st = queued;
    const bool is_carrier = t < carriers_max;
    if (is_carrier && !me.to_common && s.all[t].st != stuck && s.all[t].st != poll) {
      push(s.all[t].queue, me.who);
    } else {
      push(s.common, me.who);
    }
    me.at = notify;
    return "enqueue: puts it into a queue";
  }

  /// S is held, and let go.
  const char* run_one_more(state& s, thread& me) const {
    s.lock = 0;
    if (const std::uint8_t c = s.idle[0] ? pop(s.idle) : std::uint8_t{0}) {
      ++s.active;
      s.all[c - 1].st = run;
      me.other = c;
      me.at = add_wake;
      return "takes an idle carrier off the list, with a token; unlocks S";
    }
    if (s.poller) {
      me.at = add_kick;
      return "sees a poller; unlocks S";
    }
    for (int c = 0; c < carriers; ++c) {
      if (s.all[c].st != unborn) continue;
      ++s.active;
      s.all[c].st = run;
      return go_back(me, "starts a carrier, with a token; unlocks S");
    }
    s.waking = 0;
    return go_back(me, "finds nobody to wake: waking = 0; unlocks S");
  }

  const char* step_native(state& s, thread& me) const {
    const instruction now = native[s.steps[fibers_max]];
    ++s.steps[fibers_max];
    const bool is_last = s.steps[fibers_max] == native.size();
    const place next = is_last ? over : program;
    if (now.what == op::enqueue)
      return start_wake(me, static_cast<std::uint8_t>(now.value + 1), next, "makes a fiber ready");
    me.at = next;
    if (now.what == op::set) s.flags |= static_cast<std::uint8_t>(1U << now.value);
    if (now.what == op::make_ready) s.is_fd_ready = 1;
    return now.what == op::set ? "sets a flag" : "makes the descriptor ready";
  }

  // --- the monitor -------------------------------------------------------------------------------

  bool is_blocked(const state& s, int c) const {
    const place at = s.threads[c].at;
    if (at != waiting || !s.all[c].runs) return false;
    const int f = s.all[c].runs - 1;
    return !(s.flags & (1U << fibers[f][s.steps[f]].value));
  }

  const char* watch_one(state& s, thread& me, int c) const {
    const bool is_needed = s.ready > 0 || (!s.poller && (s.armed || first_timer(s)));
    if (s.all[c].st != run || !s.all[c].is_on_fiber || !is_needed) return nullptr;
    if (!is_blocked(s, c)) {
      if (!s.alarms_left) return nullptr;
      --s.alarms_left;
    }
    me.other = static_cast<std::uint8_t>(c + 1);
    me.at = mark;
    return "sees a carrier that seems to be stuck";
  }

  const char* mark_stuck(state& s, int t, thread& me) const {
    if (!lock(s, t)) return nullptr;
    carrier& c = s.all[me.other - 1];
    me.other = 0;
    if (c.st != run || !c.is_on_fiber) {
      s.lock = 0;
      me.at = watch;
      return "finds it gone on";
    }
    take_token(s, c);
    me.at = add_runner;
    me.back = watch;
    return "takes its token and drains its queue, under S";
  }

  void take_token(state& s, carrier& c) const {
    c.st = stuck;
    --s.active;
    if (mutant != carriers_mutant::no_drain) move_all(s, c);
  }

  // --- carriers ----------------------------------------------------------------------------------

  const char* step_carrier(state& s, int t, thread& me, carrier& c, int choice) const {
    const auto id = static_cast<std::uint8_t>(t + 1);
    switch (me.at) {
      case find:
        me.at = c.st == stuck ? rejoin : look_local;
        return c.st == stuck ? "find: has no token" : "find";
      case rejoin:
        if (!lock(s, t)) return nullptr;
        s.lock = 0;
        if (s.active < tokens) {
          ++s.active;
          c.st = run;
          me.at = look_local;
          return "rejoins: takes a token";
        }
        c.st = idle;
        push(s.idle, id);
        move_all(s, c);
        me.at = sleeping;
        return "becomes a spare: drains its queue, sleeps";
      case sleeping:
        if (!c.was_woken) return nullptr;
        c.was_woken = 0;
        me.at = find;
        return "wakes up";
      case look_local:
        return take(s, c, me, choice, got, poll_now);
      case got:
        --s.ready;
        me.at = clear_waking;
        return "counts it off";
      case clear_waking:
        s.waking = 0;
        me.at = notify_more;
        return "waking = 0";
      case notify_more:
        c.runs = me.other;
        me.other = 0;
        me.back = fiber;
        me.at = s.ready > 0 ? notify : fiber;
        me.who = 0;
        if (me.at == fiber) me.back = find;
        start_fiber(s, c);
        return s.ready > 0 ? "there is more to do" : "runs the fiber";
      case poll_now:
        if (mutant == carriers_mutant::kick_eaten && s.kick) {
          s.kick = s.kicked = 0;
          return "a poll that does not block eats the kick";
        }
        if (const std::uint8_t f = take_event(s))
          return start_wake(me, f, poll_now, "polls: an event");
        me.at = poll_timers;
        return "polls: nothing";
      case poll_timers:
        if (choice == 1) {
          const std::uint8_t f = take_timer(s);
          return f ? start_wake(me, f, poll_timers, "a timer is due") : nullptr;
        }
        me.at = look_again;
        return "no timer is due";
      case look_again:
        return take(s, c, me, 0, got, steal);
      case steal:
        if (s.ready > 0) {
          for (int v = 0; v < carriers_max; ++v) {
            if (v == t || !s.all[v].queue[0]) continue;
            me.other = pop(s.all[v].queue);
            me.at = got;
            return "steals";
          }
        }
        me.at = go_idle;
        return "finds nothing to steal";
      case go_idle:
        if (!lock(s, t)) return nullptr;
        s.waking = 0;
        me.at = idle_give;
        return "goes idle: locks S, waking = 0";
      case idle_give:
        --s.active;
        me.at = mutant == carriers_mutant::no_second_look ? idle_poller : idle_look;
        return "gives its token back";
      case idle_look:
        if (s.ready > 0) {
          ++s.active;
          s.lock = 0;
          me.at = find;
          return "there is something to do after all; unlocks S";
        }
        me.at = idle_poller;
        return "there is nothing to do";
      case idle_poller:
        if (s.poller) {
          c.st = idle;
          push(s.idle, id);
          s.lock = 0;
          me.at = sleeping;
          return "sleeps; unlocks S";
        }
        s.poller = id;
        c.st = poll;
        me.at = idle_until;
        return "becomes the poller";
      case idle_until:
        s.poll_until = first_timer(s);
        s.lock = 0;
        me.at = idle_read_timer;
        return "says until when it polls; unlocks S";
      case idle_read_timer:
        c.timeout = first_timer(s);
        // Whoever arms a timer later than what the poller told does not kick it.
        if (mutant != carriers_mutant::polls_past_its_word && s.poll_until &&
            (!c.timeout || s.poll_until < c.timeout)) {
          c.timeout = s.poll_until;
        }
        me.at = idle_look_last;
        return "reads the first timer";
      case idle_look_last:
        me.flag = s.ready > 0;  // then the poll does not wait
        me.at = polling;
        return "looks at the ready count once more";
      case polling: {
        const bool has_event = s.armed && s.is_fd_ready;
        if (!has_event && !s.kick && !c.timeout && !me.flag) return nullptr;
        me.flag = s.kick;
        me.at = polled;
        return "its poll returns";
      }
      case polled:
        if (!lock(s, t)) return nullptr;
        s.lock = 0;
        s.poller = 0;
        c.timeout = 0;
        if (s.active < tokens) {
          ++s.active;
          c.st = run;
          s.waking = 1;
        } else {
          c.st = stuck;
          s.waking = 0;
        }
        me.at = me.flag ? polled_kick : polled_event;
        me.flag = 0;
        return c.st == run ? "takes a token" : "finds no token";
      case polled_kick:
        if (s.kick) {
          s.kick = 0;
          return "consumes the kick";
        }
        s.kicked = 0;
        me.at = polled_event;
        return "the next kick counts again";
      case polled_event:
        if (const std::uint8_t f = take_event(s))
          return start_wake(me, f, polled_event, "handles an event");
        me.at = polled_timers;
        return "has handled the events";
      case polled_timers:
        if (const std::uint8_t f = take_timer(s))
          return start_wake(me, f, polled_timers, "a timer is due");
        me.at = find;
        return "has handled the timers";
      default:
        return step_fiber(s, t, me, c, choice);
    }
  }

  /// Takes the first of its own queue, or of the common one, which comes first now and then.
  static const char* take(state& s, carrier& c, thread& me, int choice, place found, place none) {
    if (choice == 1 && (!c.queue[0] || !s.common[0])) return nullptr;
    if (c.queue[0] && choice == 0) {
      me.other = pop(c.queue);
    } else if (s.common[0]) {
      me.other = pop(s.common);
    } else {
      me.at = none;
      return "finds nothing in the queues";
    }
    me.at = found;
    return "takes a fiber from a queue";
  }

  static std::uint8_t take_event(state& s) {
    if (!s.is_fd_ready || !s.armed) return 0;
    const std::uint8_t f = s.armed;
    s.armed = 0;
    return f;
  }
  static std::uint8_t take_timer(state& s) {
    const std::uint8_t first = first_timer(s);
    for (std::uint8_t f = 0; first && f < fibers_max; ++f) {
      if (s.timer[f] != first) continue;
      s.timer[f] = 0;
      return static_cast<std::uint8_t>(f + 1);
    }
    return 0;
  }

  static void start_fiber(state& s, carrier& c) {
    fiber_status& st = s.fibers[c.runs - 1];
    if (st != queued) s.fault = run_twice;
    st = running;
    c.is_on_fiber = 1;
  }

  const char* step_fiber(state& s, int t, thread& me, carrier& c, int choice) const {
    const int f = c.runs - 1;
    const auto id = static_cast<std::uint8_t>(c.runs);
    switch (me.at) {
      case fiber:
        return step_program(s, me, c, f);
      case waiting:
        if (!(s.flags & (1U << fibers[f][s.steps[f]].value))) return nullptr;
        ++s.steps[f];
        me.at = edge;
        return "foreign code returns";
      case region_wait:
        if (!lock(s, t)) return nullptr;
        me.at = waiting;
        if (c.st != run) {
          s.lock = 0;
          return "has no token to give away";
        }
        take_token(s, c);
        me.at = region_look;
        return "gives its token away and drains its queue, under S";
      case region_look:
        me.at = waiting;
        if (s.ready == 0 && s.poller) {
          s.lock = 0;
          return "nobody needs to run; unlocks S";
        }
        me.back = waiting;
        me.at = add_runner;
        return "somebody is to have its token";
      case edge:
        if (c.st == stuck) {
          if (!lock(s, t)) return nullptr;
          s.lock = 0;
          if (s.active >= tokens) {
            c.yields = 2;
            c.left_by = id;
            me.at = leave;
            return "notices that it has no token, and there is none";
          }
          ++s.active;
          c.st = run;
        }
        me.at = fiber;
        return "goes on";
      case arm:
        s.timer[f] = ++s.timers_made;
        me.at = first_timer(s) == s.timer[f] ? arm_kick : park;
        return "arms a timer";
      case arm_kick: {
        const bool is_earlier = !s.poll_until || s.timer[f] < s.poll_until;
        me.at = park;
        if (!s.poller || !is_earlier || mutant == carriers_mutant::no_kick_for_timer)
          return "the poller need not know";
        me.back = park;
        me.at = add_kick;
        return "the poller must know";
      }
      case park:
        c.left_by = id;
        c.yields = 0;
        if (s.fibers[f] == notified) {
          s.fibers[f] = running;
          c.left_by = 0;
          me.at = fiber;
          return "is NOTIFIED already";
        }
        me.at = leave;
        return "is going to park";
      case leave:
        me.at = c.st == run && c.yields != 2 ? leave_local : post;
        c.runs = 0;
        return "looks whether it has a token";
      case leave_local:
        return take(s, c, me, choice, leave_got, post);
      case leave_got:
        --s.ready;
        me.at = post;
        return "counts it off";
      case post:
        return publish(s, me, c);
      default:
        return nullptr;
    }
  }

  /// What runs first after a switch: publishes the fiber that was left, then goes on with the next
  /// one, or with the search for one.
  const char* publish(state& s, thread& me, carrier& c) const {
    const std::uint8_t left = c.left_by;
    const std::uint8_t next = me.other;
    fiber_status& st = s.fibers[left - 1];
    const bool is_queued_again = c.yields || st == notified;
    const bool to_common = c.yields == 2;
    c.left_by = c.yields = 0;
    me.other = 0;
    c.is_on_fiber = 0;
    c.runs = next;
    if (next) start_fiber(s, c);
    const place then = next ? fiber : find;
    if (st == ended) {
      me.at = then;
      return "is off the stack of a fiber that has ended";
    }
    if (!is_queued_again) {
      st = parked;
      me.at = then;
      return "the fiber is PARKED";
    }
    st = notified;
    return start_enqueue(me, left, then, to_common, "enqueues the fiber that it left");
  }

  const char* step_program(state& s, thread& me, carrier& c, int f) const {
    const instruction now =
        s.steps[f] < fibers[f].size() ? fibers[f][s.steps[f]] : instruction{op::end, 0};
    const auto id = static_cast<std::uint8_t>(f + 1);
    switch (now.what) {
      case op::end:
        s.fibers[f] = ended;
        c.left_by = id;
        me.at = leave;
        return "its fiber ends";
      case op::enqueue:
        ++s.steps[f];
        return start_wake(me, static_cast<std::uint8_t>(now.value + 1), fiber,
                          "its fiber makes another one ready");
      case op::set:
        ++s.steps[f];
        s.flags |= static_cast<std::uint8_t>(1U << now.value);
        return "its fiber sets a flag";
      case op::foreign:
        me.at = waiting;
        return "its fiber enters foreign code";
      case op::region:
        me.at = region_wait;
        return "its fiber is about to block";
      case op::spin:
        if (s.flags & (1U << now.value)) {
          ++s.steps[f];
          return "its fiber sees the flag";
        }
        c.left_by = id;
        c.yields = c.st == run ? 1 : 2;
        me.at = leave;
        return "its fiber yields";
      case op::sleep:
        ++s.steps[f];
        s.fibers[f] = parking;
        me.at = arm;
        return "its fiber is PARKING, to sleep";
      case op::await:
        ++s.steps[f];
        s.fibers[f] = parking;
        s.armed = id;
        me.at = park;
        return "its fiber is PARKING, for the descriptor";
      case op::make_ready:
        ++s.steps[f];
        s.is_fd_ready = 1;
        return "its fiber makes the descriptor ready";
    }
    return nullptr;
  }
};

}  // namespace coir::model
