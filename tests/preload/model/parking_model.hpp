/// How a fiber parks in front of a lock and is woken: what it publishes, and when.
///
/// Fibers run on two carriers (kernel threads) and take and release one mutex; a native thread
/// holds it at first, releases it, and may take it once more. A fiber that finds it taken:
///
///     state = PARKING; link itself into the bucket; try the lock again; arm its timer;
///     unless NOTIFIED by now: switch to its carrier, which then, on its own stack, does
///     CAS PARKING -> PARKED, and if that fails puts the fiber into the run queue
///
/// and who releases takes a waiter out of the bucket, under its lock, and wakes it:
///
///     PARKED -> NOTIFIED and into the run queue | PARKING -> NOTIFIED | else nothing
///
/// A timer may wake it at any time too, so that two wakes race.
#pragma once

#include <cstdint>

namespace coir::model {

/// Ways to get it wrong.
enum class parking_mutant : std::uint8_t {
  none,
  no_retest,              ///< the lock is not tried again after the fiber is linked
  enqueue_while_parking,  ///< a waker puts a fiber into the run queue that is still on its stack
  plain_store_of_parked,  ///< the carrier stores PARKED and overwrites NOTIFIED
  wake_twice,             ///< a waker does not look whether the fiber was NOTIFIED already
};

/// One small program, and the protocol with or without a mistake.
struct parking_model {
  int fibers = 1;
  bool has_timers = false;
  bool native_returns = false;  ///< the native thread takes the lock once more
  parking_mutant mutant = parking_mutant::none;

  static constexpr int fibers_max = 2, carriers = 2, rounds = 2;
  static constexpr int native = fibers_max;  // as one who executes code

  enum publication : std::uint8_t { running, parking, notified, parked };
  enum place : std::uint8_t {
    try_lock,
    prepare,
    link,
    retest,
    arm,
    look,
    switch_away,
    disarm,
    unlink,
    unlink_early,
    release,
    count_waiters,
    take_waiter,
    wake_read,
    wake_swap,
    unlock_bucket,
    ended
  };

  /// One who executes code: a fiber, or the native thread.
  struct actor {
    place at = try_lock;
    std::uint8_t rounds_left = rounds;
    std::uint8_t waiter = 0;     ///< whom it is waking, plus one
    publication seen = running;  ///< what it read of the waiter's state
  };
  struct fiber {
    publication published = running;
    std::uint8_t on_stack_of = 0;  ///< the carrier on which its stack is in use, plus one
    std::uint8_t queued = 0;       ///< how often it is in the run queue
    std::uint8_t is_linked = 0;
    std::uint8_t is_armed = 0;
    std::uint8_t woken_by_timer = 0;  ///< a timer is waking it: 1 has to read, 2 + what it read
  };
  struct carrier {
    std::uint8_t runs = 0;     ///< the fiber it runs, plus one
    std::uint8_t left_by = 0;  ///< the fiber that has just switched to it, plus one
  };
  struct state {
    actor actors[fibers_max + 1];
    fiber all[fibers_max + 1];  ///< the last is the native thread's, which never parks
    carrier on[carriers];
    std::uint8_t is_locked = 1;
    std::uint8_t bucket_held_by = 0;  ///< an actor plus one
    std::uint8_t queue[2] = {};       ///< the run queue: fibers plus one
    std::uint8_t first_linked = 0;    ///< who came first, plus one
    std::uint8_t fault = 0;
  };
  enum fault : std::uint8_t { fine, queued_twice, run_twice, resumed_on_its_stack };

  state initial() const {
    state s{};
    s.actors[native].at = release;
    s.actors[native].rounds_left = native_returns ? 2 : 1;
    for (int i = fibers; i < fibers_max; ++i) s.actors[i].at = ended;
    for (int i = 0; i < fibers; ++i) enqueue(s, i);
    return s;
  }

  const char* fault_of(const state& s) const {
    if (s.fault == queued_twice) return "a fiber is in the run queue twice";
    if (s.fault == run_twice) return "two carriers run one fiber";
    if (s.fault == resumed_on_its_stack) return "a fiber is resumed before it is off its stack";
    return nullptr;
  }

  bool is_done(const state& s) const {
    for (const actor& one : s.actors) {
      if (one.at != ended) return false;
    }
    return true;
  }

  template <class Visit>
  void for_each_step(const state& from, Visit visit) const {
    if (from.fault) return;
    static constexpr const char* carrier_names[] = {"carrier 1", "carrier 2"};
    for (int c = 0; c < carriers; ++c) {
      state s = from;
      const char* what = step_carrier(s, c);
      if (what) visit(s, carrier_names[c], what);
    }
    {
      state s = from;
      const char* what = step_actor(s, native, 0);
      if (what) visit(s, "native thread", what);
    }
    for (int f = 0; has_timers && f < fibers; ++f) {
      state s = from;
      const char* what = step_timer(s, f);
      if (what) visit(s, f == 0 ? "timer of A" : "timer of B", what);
    }
  }

 private:
  static void enqueue(state& s, int f) {
    if (++s.all[f].queued > 1) s.fault = queued_twice;
    for (std::uint8_t& slot : s.queue) {
      if (slot == 0) {
        slot = static_cast<std::uint8_t>(f + 1);
        return;
      }
    }
  }

  /// What a carrier does next: what the switch to it left behind, its fiber's next step, or the
  /// next fiber.
  const char* step_carrier(state& s, int c) const {
    carrier& me = s.on[c];
    if (me.left_by) return publish(s, me);
    if (me.runs) {
      const int f = me.runs - 1;
      return step_actor(s, f, c);
    }
    if (s.queue[0] == 0) return nullptr;
    const int f = s.queue[0] - 1;
    s.queue[0] = s.queue[1];
    s.queue[1] = 0;
    --s.all[f].queued;
    for (const carrier& other : s.on) {
      if (other.runs == f + 1) s.fault = run_twice;
    }
    const bool is_between = s.all[f].published == parking || s.all[f].published == notified;
    if (s.all[f].on_stack_of && is_between) s.fault = resumed_on_its_stack;
    me.runs = static_cast<std::uint8_t>(f + 1);
    s.all[f].on_stack_of = static_cast<std::uint8_t>(c + 1);
    s.all[f].published = running;
    return f == 0 ? "resumes A" : "resumes B";
  }

  const char* publish(state& s, carrier& me) const {
    const int f = me.left_by - 1;
    me.left_by = 0;
    if (s.all[f].published == parking || mutant == parking_mutant::plain_store_of_parked) {
      s.all[f].published = parked;
      return f == 0 ? "A is PARKED" : "B is PARKED";
    }
    enqueue(s, f);
    return f == 0 ? "A was NOTIFIED: enqueues it" : "B was NOTIFIED: enqueues it";
  }

  /// A timer that fires takes the fiber out of the heap and wakes it; two steps, as for any waker.
  const char* step_timer(state& s, int f) const {
    fiber& sleeper = s.all[f];
    if (sleeper.woken_by_timer) {
      const auto seen = static_cast<publication>(sleeper.woken_by_timer - 1);
      sleeper.woken_by_timer = 0;
      return wake(s, f, seen, [&](publication now) {
        sleeper.woken_by_timer = static_cast<std::uint8_t>(now + 1);
      });
    }
    if (!sleeper.is_armed) return nullptr;
    sleeper.is_armed = 0;
    sleeper.woken_by_timer = static_cast<std::uint8_t>(sleeper.published + 1);
    return "fires, and reads the state";
  }

  /// The compare-and-swap of a waker that has read `seen`; `again` is told what it reads when that
  /// fails.
  template <class Again>
  const char* wake(state& s, int f, publication seen, Again again) const {
    fiber& sleeper = s.all[f];
    const bool is_parked = seen == parked;
    const bool is_parking = seen == parking;
    if (!is_parked && !is_parking) {
      if (mutant != parking_mutant::wake_twice || seen != notified) return "has nothing to wake";
      enqueue(s, f);
      return "enqueues it again";
    }
    if (sleeper.published != seen) {
      again(sleeper.published);
      return "fails to swap the state, and reads it again";
    }
    sleeper.published = notified;
    if (is_parked || mutant == parking_mutant::enqueue_while_parking) {
      enqueue(s, f);
      return "makes it NOTIFIED and enqueues it";
    }
    return "makes it NOTIFIED";
  }

  static void unlink_waiter(state& s, int f) {
    s.all[f].is_linked = 0;
    if (s.first_linked != f + 1) return;
    s.first_linked = 0;
    for (int other = 0; other < fibers_max; ++other) {
      if (s.all[other].is_linked) s.first_linked = static_cast<std::uint8_t>(other + 1);
    }
  }

  const char* step_actor(state& s, int self, int on) const {
    actor& me = s.actors[self];
    const auto id = static_cast<std::uint8_t>(self + 1);
    switch (me.at) {
      case try_lock:
        if (self == native && s.is_locked) return nullptr;  // it waits in the kernel
        me.at = s.is_locked ? prepare : release;
        if (me.at == prepare) return "finds the lock taken";
        s.is_locked = 1;
        return "takes the lock";
      case prepare:
        s.all[self].published = parking;
        me.at = link;
        return "is PARKING";
      case link:
        if (s.bucket_held_by) return nullptr;
        s.all[self].is_linked = 1;
        if (!s.first_linked) s.first_linked = id;
        me.at = mutant == parking_mutant::no_retest ? arm : retest;
        return "links itself into the bucket";
      case retest:
        me.at = s.is_locked ? arm : unlink_early;
        if (me.at == arm) return "tries the lock again, in vain";
        s.is_locked = 1;
        return "tries the lock again, and has it";
      case unlink_early:
        if (s.bucket_held_by) return nullptr;
        unlink_waiter(s, self);
        s.all[self].published = running;
        me.at = release;
        return "unlinks itself, with the lock";
      case arm:
        s.all[self].is_armed = has_timers;
        me.at = look;
        return "arms its timer, if any";
      case look:
        if (s.all[self].published == notified) {
          s.all[self].published = running;
          me.at = disarm;
          return "sees that it is NOTIFIED";
        }
        me.at = switch_away;
        return "is about to switch";
      case switch_away:
        s.on[on].runs = 0;
        s.on[on].left_by = id;
        s.all[self].on_stack_of = 0;
        me.at = disarm;
        return "switches to its carrier";
      case disarm:
        // The heap has a lock, which a timer that fires holds until it has woken.
        if (s.all[self].woken_by_timer) return nullptr;
        s.all[self].is_armed = 0;
        me.at = unlink;
        return "disarms its timer";
      case unlink:
        if (s.bucket_held_by) return nullptr;
        unlink_waiter(s, self);
        me.at = try_lock;
        return "unlinks itself";
      case release:
        s.is_locked = 0;
        me.at = count_waiters;
        return "releases the lock";
      case count_waiters:
        if (s.first_linked == 0) return next_round(s, self, on, "sees no waiters");
        me.at = take_waiter;
        return "sees waiters";
      case take_waiter:
        if (s.bucket_held_by) return nullptr;
        if (s.first_linked == 0) return next_round(s, self, on, "finds no waiter");
        s.bucket_held_by = id;
        me.waiter = s.first_linked;
        unlink_waiter(s, me.waiter - 1);
        me.at = wake_read;
        return "locks the bucket and takes a waiter";
      case wake_read:
        me.seen = s.all[me.waiter - 1].published;
        me.at = wake_swap;
        return "reads the waiter's state";
      case wake_swap:
        me.at = unlock_bucket;
        return wake(s, me.waiter - 1, me.seen, [&](publication now) {
          me.seen = now;
          me.at = wake_swap;
        });
      case unlock_bucket:
        me.waiter = 0;
        me.seen = running;
        s.bucket_held_by = 0;
        return next_round(s, self, on, "unlocks the bucket");
      case ended:
        return nullptr;
    }
    return nullptr;
  }

  const char* next_round(state& s, int self, int on, const char* what) const {
    actor& me = s.actors[self];
    me.at = --me.rounds_left ? try_lock : ended;
    if (me.at == ended && self != native) {
      s.on[on].runs = 0;
      s.all[self].on_stack_of = 0;
    }
    return what;
  }
};

}  // namespace coir::model
