// What a carrier does: looks for fibers, goes to rest and polls, and runs them.
#include "tests/preload/model/carriers_model.hpp"

namespace coir::model {

const char* carriers_model::step_carrier(state& s, int t, thread& me, carrier& c,
                                         int choice) const {
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

const char* carriers_model::take(state& s, carrier& c, thread& me, int choice, place found,
                                 place none) {
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

std::uint8_t carriers_model::take_event(state& s) {
  if (!s.is_fd_ready || !s.armed) return 0;
  const std::uint8_t f = s.armed;
  s.armed = 0;
  return f;
}

std::uint8_t carriers_model::take_timer(state& s) {
  const std::uint8_t first = first_timer(s);
  for (std::uint8_t f = 0; first && f < fibers_max; ++f) {
    if (s.timer[f] != first) continue;
    s.timer[f] = 0;
    return static_cast<std::uint8_t>(f + 1);
  }
  return 0;
}

void carriers_model::start_fiber(state& s, carrier& c) {
  fiber_status& st = s.fibers[c.runs - 1];
  if (st != queued) s.fault = run_twice;
  st = running;
  c.is_on_fiber = 1;
}

const char* carriers_model::step_fiber(state& s, int t, thread& me, carrier& c, int choice) const {
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

const char* carriers_model::publish(state& s, thread& me, carrier& c) const {
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

const char* carriers_model::step_program(state& s, thread& me, carrier& c, int f) const {
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

}  // namespace coir::model
