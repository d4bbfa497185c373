// What any thread does: wakes, queues and notifies; and what the native thread and the monitor do.
#include "tests/preload/model/carriers_model.hpp"

namespace coir::model {

carriers_model::state carriers_model::initial() const {
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

const char* carriers_model::fault_of(const state& s) const {
  if (s.fault == queued_twice) return "a fiber is in two queues";
  if (s.fault == run_twice) return "a fiber is run that is not queued";
  int holders = 0;
  for (const carrier& one : s.all) holders += one.st == run;
  if (s.lock == 0 && (holders != s.active || holders > tokens))
    return "more carriers have a token than there are, or the count of them is wrong";
  return nullptr;
}

bool carriers_model::is_done(const state& s) const {
  for (std::size_t f = 0; f < fibers.size(); ++f) {
    if (s.fibers[f] != ended) return false;
  }
  return s.threads[native_thread].at == over;
}

int carriers_model::choices_of(const state& s, int t) const {
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

const char* carriers_model::start_enqueue(thread& me, std::uint8_t f, place back, bool to_common,
                                          const char* what) {
  me.who = f;
  me.back = back;
  me.to_common = to_common;
  me.at = enq_count;
  return what;
}

const char* carriers_model::start_wake(thread& me, std::uint8_t f, place back, const char* what) {
  me.who = f;
  me.back = back;
  me.to_common = 0;
  me.at = wake;
  return what;
}

const char* carriers_model::step(state& s, int t, int choice) const {
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

const char* carriers_model::go_back(thread& me, const char* what) {
  me.at = me.back;
  me.back = find;
  me.who = me.to_common = me.flag = 0;
  return what;
}

const char* carriers_model::wake_fiber(state& s, thread& me) const {
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

const char* carriers_model::put(state& s, int t, thread& me) const {
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

const char* carriers_model::run_one_more(state& s, thread& me) const {
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

const char* carriers_model::step_native(state& s, thread& me) const {
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

bool carriers_model::is_blocked(const state& s, int c) const {
  const place at = s.threads[c].at;
  if (at != waiting || !s.all[c].runs) return false;
  const int f = s.all[c].runs - 1;
  return !(s.flags & (1U << fibers[f][s.steps[f]].value));
}

const char* carriers_model::watch_one(state& s, thread& me, int c) const {
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

const char* carriers_model::mark_stuck(state& s, int t, thread& me) const {
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

void carriers_model::take_token(state& s, carrier& c) const {
  c.st = stuck;
  --s.active;
  if (mutant != carriers_mutant::no_drain) move_all(s, c);
}

}  // namespace coir::model
