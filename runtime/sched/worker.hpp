/// A worker: run queue, reactor and timers of one thread.
///
/// The first coir call on a thread makes that thread a worker and its own stack the worker's main
/// fiber. There is no hub: a fiber that parks switches directly to the next ready one, and when
/// there is none it drives the loop itself, on its own stack, until somebody (perhaps itself) is
/// ready.
///
/// Invariants
///   1 Run queue, timers, reactor and the states of its fibers belong to the worker's thread. Other
///     threads have two doors, wake() and what worker_door has. Both go through the inbox.
///   2 A fiber gives up its worker only in park(), yield(), park_for(), start_first() and
///     end_running().
///   3 A parked fiber may be woken without a cause. Every wait looks at its own condition again.
///   4 A turn of the loop hands on at most events_per_turn events, and comes after at most so many
///     switches: the loop stands in line behind each batch, so that fibers which only yield cannot
///     keep it from timers and I/O.
///
/// Rejected: a hub fiber that runs the loop (two switches where one does, and the wake of the fiber
/// that waited is a third); stealing of started fibers (compilers keep addresses of thread-locals
/// over a switch).
#pragma once

#include <coir/detail/clock.hpp>

#include "runtime/fiber/context.hpp"
#include "runtime/fiber/fiber_pool.hpp"
#include "runtime/reactor/timer_wheel.hpp"
#include "runtime/sched/worker_door.hpp"

#include <atomic>
#include <cstddef>

namespace coir::detail {

struct crew_seat;
class replay;
struct replay_setup;

class worker final : public thread_slots, public worker_door {
 public:
  /// The calling thread's worker, made when there is none yet. Throws what make_reactor throws.
  static worker& current() {
    worker* const w = current_or_null();
    return w ? *w : adopt_thread();
  }
  /// The calling thread's worker or null. Not inlined: the address of a thread-local must not be
  /// kept over a switch.
  [[gnu::noinline]] static worker* current_or_null() noexcept;
  /// The worker that `f` belongs to.
  static worker& of(const control_block& f) noexcept { return static_cast<worker&>(*f.home); }

  /// Prepares the process for forks, unless that was done: see fork.cpp. The first worker does it;
  /// whoever looks at fork_generation before there is one calls it. Any thread.
  static void install_fork_handlers() noexcept;

  // Giving up the processor. Only the running fiber may call.

  /// Parks the running fiber until it is made ready, until the deadline, or, when `kind` allows it,
  /// until it is interrupted. An interruption that is pending already, and a deadline of 0, end it
  /// at once.
  wait_status park(wait_reason why, deadline until, interruptible kind) noexcept;
  /// Lets the fibers that are ready run first; does nothing when there are none.
  void yield() noexcept;
  /// Counts a successful call. True when the running fiber has made as many of them without parking
  /// as fairness allows, and is to yield.
  bool spend_call() noexcept { return ++running->calls_without_park >= calls_without_park_max; }
  /// spend_call(), and yield() if need be.
  void count_call() noexcept {
    if (spend_call()) yield();
  }
  /// park() without a deadline, in favour of `target`, which is in no queue; when that is null, of
  /// the next ready fiber. An interruption that is pending already does not end it at once:
  /// throw_if_interrupted() comes before, since what `target` gets is under way by now.
  wait_status park_for(control_block* target, wait_reason why, interruptible kind) noexcept;
  /// Ends the running fiber. Goes on with `target`, which is in no queue, or with the next ready
  /// fiber.
  [[noreturn]] void end_running(control_block* target = nullptr) noexcept;

  // Fibers.

  /// A fresh fiber, not yet queued, that will run `entry`; of kind generator: a stack to be lent.
  /// Throws std::system_error when there is no memory for it.
  control_block& make_fiber(std::size_t stack_bytes, void (*entry)(control_block&), void* argument,
                            fiber_kind kind = fiber_kind::spawned);
  /// Takes back the stack of a generator that has ended; nobody is on it.
  void release_stack(control_block& lender) noexcept;
  /// Takes back a fresh fiber that was never queued.
  void discard(control_block& f) noexcept;
  /// Queues a fresh fiber behind those that are ready.
  void start(control_block& f) noexcept {
    f.state = fiber_state::ready;
    run_queue_.push_back(f);
  }
  /// Runs a fresh fiber at once; the running one stands behind those that are ready.
  void start_first(control_block& f) noexcept {
    control_block& self = *running;
    const bool is_measured = self.is_measured;
    if (is_measured) end_stretch(self);
    self.state = fiber_state::ready;
    run_queue_.push_back(self);
    switch_to(self, f);
    if (is_measured) begin_stretch(self);
  }
  /// The running fiber, whose time is measured, leaves its worker, or has it again.
  void end_stretch(control_block& self) noexcept;
  void begin_stretch(control_block& self) noexcept;
  /// Its next switch is to see that it is measured.
  void expect_measured() noexcept { next_turn_ = 0; }
  /// Makes `in` pending for one of this worker's fibers, which gets it where it waits, or at its
  /// next wait. Does nothing when it is pending already.
  void interrupt(control_block& f, interruption& in) noexcept;
  /// Takes back what has not been thrown yet; `f` belongs to the calling thread.
  static void retract(control_block& f, interruption& in) noexcept;
  /// Takes back all of it from a fiber that ends.
  static void retract_all(control_block& f) noexcept;
  /// Kills one of this worker's fibers with `error`, or with fiber_exit when that is null. Does
  /// nothing when it is being killed already; waits while the fiber has a no_kill guard.
  void kill(control_block& f, std::exception_ptr error) noexcept;
  /// The one kill() by which a set of workers ends a fiber.
  void dismiss(control_block& f) noexcept {
    f.record->is_dismissed = true;
    kill(f, nullptr);
  }
  /// Makes a generator that stands at its yield a fiber of its own, queued and killed: when the
  /// thread ends, or its owner has ended on another one, there is nobody else to unwind it.
  void kill_generator(control_block& lender) noexcept;
  /// How many spawned fibers have not ended.
  std::size_t live() const noexcept { return pool_.live() - unspawned_; }
  /// The fiber of the thread's own stack.
  control_block& main_fiber() noexcept { return main_; }

  /// Arms a timer of the calling fiber's own; see timer_node::expire.
  void arm(timer_node& timer, deadline when) noexcept { timers_.arm(timer, when); }
  /// Disarms it, if it is armed.
  void disarm(timer_node& timer) noexcept { timers_.disarm(timer); }

  /// The time of the last turn of the loop, in ms, for reports: how old a wait is.
  std::uint32_t now_ms() const noexcept { return now_ms_; }
  /// Calls `visit(control_block&)` for each fiber that has not ended, the main fiber first.
  template <class Visit>
  void for_each_fiber(Visit visit) {
    visit(main_);
    pool_.for_each_live(visit);
  }

  reactor& io() noexcept { return *reactor_; }
  fiber_list& run_queue() noexcept { return run_queue_; }

  /// Joins a crew, or leaves it with null: from then on it begins fibers of the crew's, too. The
  /// worker's thread only.
  void sit(crew_seat* seat) noexcept;
  /// Its place in a crew, or null. Changes on its thread only, with the registry locked: who has
  /// locked it may read it too, and the crew is there as long.
  crew_seat* seat() const noexcept { return seat_; }

  /// Makes this worker the first to take part in a replay, and ends that. The worker's thread only,
  /// without other fibers. Throws std::bad_alloc.
  void begin_replay(const replay_setup& how);
  void end_replay() noexcept;
  /// Takes part in a replay, for good, in a place of it, whose baton it has. The worker's thread
  /// only.
  void take_part(replay& in, std::size_t place) noexcept;
  /// The replay in which it takes part, or null.
  replay* in_replay() const noexcept { return replay_; }

  /// Does what others have asked for until now, which the loop would do at its next turn. The
  /// worker's thread only; nothing of it may take the running fiber for one that runs.
  void look_into_inbox() noexcept {
    if (!inbox_.empty()) [[unlikely]]
      run_remote_calls();
  }

  /// Runs fibers for a loop that is not coir's, which calls from the main fiber: until none is
  /// ready, or those that always are have had a few turns. Returns how long that loop may wait for
  /// io().pollable_fd(), in ns; -1: without limit. A worker without seat and replay only.
  std::int64_t run_once() noexcept;
  /// True while the caller is a foreign loop: from the end of a run_once() until fibers have the
  /// thread again.
  bool is_in_foreign_loop() const noexcept { return sleeps_in_foreign_loop_ && running == &main_; }

  /// True when others have asked for something that it has not done yet. The worker's thread only.
  bool has_arrivals() const noexcept { return !inbox_.empty(); }

  /// When its thread became a worker, by real_now_ns(). On that thread, or with the registry
  /// locked.
  deadline begun_at() const noexcept { return begun_at_; }
  /// The kernel's number of its thread; 0 when that has ended, or is in the parent of a fork.
  /// With the registry locked.
  int thread_id() const noexcept { return thread_id_; }

  // The doors for other threads, besides those of worker_door.

  /// Makes a parked fiber ready, on whatever worker. Any thread.
  static void wake(control_block& f) noexcept;
  /// wake() of the fiber with that record and worker, which is not the calling thread's. Any
  /// thread.
  static void wake_from_elsewhere(fiber_record& record, thread_slots& home) noexcept;
  /// Posts what `make` returns for each worker but the calling thread's; `make` may return null.
  /// Any thread.
  template <class Make>
  static void post_to_others(Make make) noexcept;

 private:
  static constexpr std::uint8_t calls_without_park_max = 16;

  friend struct thread_exit;
  friend class locked_registry;
  friend struct fork_handlers;

  /// What late wakes read stays the same through all its lives.
  worker() noexcept : pool_(*this) {
    main_.home = this;
    main_.record = &main_record_;
    main_record_.owner = &main_;
  }
  static worker& adopt_thread();
  void retire() noexcept;
  void begin_counting() noexcept;
  void end_counting() noexcept;
  bool kill_all_fibers() noexcept;

  void switch_away(control_block& from) noexcept;
  void switch_away_measured(control_block& from) noexcept;
  control_block* wait_for_ready() noexcept;
  void switch_to(control_block& from, control_block& to) noexcept {
    count_.switches.add();
    to.calls_without_park = 0;
    switch_context(from, to);
  }
  control_block* next_ready() noexcept {
    if (static_cast<std::int64_t>(count_.switches.read()) >= next_turn_) turn(false);
    return take_ready();
  }
  control_block* take_ready() noexcept {
    control_block* const first = run_queue_.pop_front();
    return first || !seat_ ? first : next_unbegun();
  }
  control_block* next_unbegun() noexcept;
  void turn(bool may_wait) noexcept;
  void begin_ambient_replay();
  void hand_on(bool is_idle, deadline next_due) noexcept;
  void turn_in_replay(bool may_wait) noexcept;
  bool look_for_ready() noexcept;
  void take_what_has_come() noexcept;
  bool spin() noexcept;
  void poll(std::int64_t limit) noexcept;
  bool sleep(std::int64_t limit) noexcept;
  bool begin_foreign_sleep() noexcept;
  void end_foreign_sleep() noexcept;
  std::int64_t wait_limit() noexcept;
  void wait_for_events() noexcept;
  void set_clock(deadline now) noexcept { now_ms_ = static_cast<std::uint32_t>(now / 1'000'000); }
  void expire_timers(deadline now) noexcept;
  void run_remote_calls() noexcept;

  alignas(64) fiber_list run_queue_;          // away from the inbox
  std::int64_t next_turn_ = events_per_turn;  ///< after so many switches; those kept count, too
  std::uint32_t now_ms_ = 0;                  ///< of the last turn; wraps after 49 days
  bool was_idle_ = false;                ///< has waited for long without finding anything to do
  bool sleeps_in_foreign_loop_ = false;  ///< from a run_once() to the next turn
  timer_wheel timers_;
  crew_seat* seat_ = nullptr;
  replay* replay_ = nullptr;
  std::size_t replay_place_ = 0;
  deadline begun_at_ = 0;       ///< written with the registry locked
  int thread_id_ = 0;           ///< guarded by the registry's lock
  std::int64_t spin_ns_ = 0;    ///< how long it looks for work before it sleeps; 0: not at all
  bool is_spin_said_ = false;   ///< by COIR_SPIN_US; else it does so only while that pays
  bool does_spin_pay_ = false;  ///< the last sleep was short, or the last spin brought something
  deadline next_trim_ = 0;
  fiber_pool pool_;
  std::size_t unspawned_ = 0;  ///< how many control blocks of the pool contexts and generators hold
  control_block main_;
  fiber_record main_record_;
  /// In the child of a fork: the spawned fiber that called it
  control_block* last_after_fork_ = nullptr;
  worker* next_worker_ = nullptr;  ///< in the registry: constant once set
  bool is_in_use_ = false;         ///< guarded by the registry's lock
};

/// While it lives, the calling fiber runs coir's functions on behalf of C code, through which
/// nothing can be thrown. The thread must be a worker.
class c_frame {
 public:
  c_frame() noexcept : fiber_(*worker::current_or_null()->running) { ++fiber_.record->c_frames; }
  c_frame(const c_frame&) = delete;
  c_frame& operator=(const c_frame&) = delete;
  ~c_frame() { --fiber_.record->c_frames; }

 private:
  control_block& fiber_;
};

/// Head of the list of all workers there have ever been; they are reused, never freed. Any thread
/// may walk it.
worker* first_worker() noexcept;

/// Called when nothing on its thread can end the waits of `w`: no timer is armed, nothing has come
/// for long, and nobody is ready. Finds out whether anything else can, and if not makes the main
/// fiber fail. Implemented where all kinds of waits are known, in runtime/diag.
void on_idle_without_timers(worker& w) noexcept;

/// How many forks lie between this process and the first that used coir; 0 in most. Changes only in
/// a child, before fork() returns there.
extern std::atomic<std::uint32_t> fork_generation;

/// True for a fiber that a fork has left behind in the parent: here it never goes on. Any thread.
inline bool is_abandoned(const control_block& f) noexcept {
  const std::uint32_t now = fork_generation.load(std::memory_order_relaxed);
  return now != 0 && f.record->fork_generation != now;
}

/// Held while the registry changes: for the handlers of fork, and for who reads what it guards.
void lock_worker_registry() noexcept;
void unlock_worker_registry() noexcept;
/// With the registry locked.
ended_workers& workers_ended() noexcept;

// The way of one switch, in the header so that it takes one frame: what a parked stack holds must
// come back to the cache.

inline wait_status worker::park(wait_reason why, deadline until, interruptible kind) noexcept {
  control_block& self = *running;
  const bool may_interrupt = kind == interruptible::yes;
  if (may_interrupt && self.is_interrupted) return wait_status::interrupted;
  if (until == 0) return wait_status::timed_out;
  self.why = why;
  self.is_interruptible = may_interrupt;
  self.timed_out = false;
  self.state = fiber_state::parked;
  self.since_ms = now_ms_;
  if (until != never) timers_.arm(self.record->timer, until);
  switch_away(self);
  if (until != never) timers_.disarm(self.record->timer);
  self.why = wait_reason::none;
  if (may_interrupt && self.is_interrupted) return wait_status::interrupted;
  return self.timed_out ? wait_status::timed_out : wait_status::woken;
}

inline void worker::yield() noexcept {
  control_block& self = *running;
  self.state = fiber_state::ready;
  run_queue_.push_back(self);
  switch_away(self);
}

inline wait_status worker::park_for(control_block* target, wait_reason why,
                                    interruptible kind) noexcept {
  control_block& self = *running;
  const bool may_interrupt = kind == interruptible::yes;
  self.why = why;
  self.is_interruptible = may_interrupt;
  self.timed_out = false;
  self.state = fiber_state::parked;
  self.since_ms = now_ms_;
  if (target) {
    const bool is_measured = self.is_measured;
    if (is_measured) end_stretch(self);
    count_.switches.add();
    target->calls_without_park = self.calls_without_park;  // no fiber has had a turn meanwhile
    switch_context(self, *target);
    if (is_measured) begin_stretch(self);
  } else {
    switch_away(self);
  }
  self.why = wait_reason::none;
  return may_interrupt && self.is_interrupted ? wait_status::interrupted : wait_status::woken;
}

/// Goes on with the next ready fiber, which may be `from` itself: then without any switch.
inline void worker::switch_away(control_block& from) noexcept {
  const std::uint64_t switches = count_.switches.read();
  if (static_cast<std::int64_t>(switches) >= next_turn_) [[unlikely]] {
    if (from.is_measured) return switch_away_measured(from);
    turn(false);
  }
  control_block* next = take_ready();
  if (!next) [[unlikely]]
    next = wait_for_ready();
  if (next != &from) {
    count_.switches.set(switches + 1);
    next->calls_without_park = 0;
    return switch_context(from, *next);
  }
  from.state = fiber_state::running;
  from.calls_without_park = 0;
  count_.turns_kept.add();
  --next_turn_;
}

inline void worker::wake(control_block& f) noexcept {
  if (f.home != current_or_null()) [[unlikely]]
    return wake_from_elsewhere(*f.record, *f.home);
  of(f).run_queue_.make_ready(f);
}

template <class Make>
void worker::post_to_others(Make make) noexcept {
  worker* const self = current_or_null();
  lock_worker_registry();
  for (worker* w = first_worker(); w; w = w->next_worker_) {
    if (w == self || !w->is_in_use_) continue;
    if (remote_call* call = make()) w->post(*call);
  }
  unlock_worker_registry();
}

/// Keeps the registry locked while it lives. Any thread.
class locked_registry {
 public:
  locked_registry() noexcept { lock_worker_registry(); }
  locked_registry(const locked_registry&) = delete;
  locked_registry& operator=(const locked_registry&) = delete;
  ~locked_registry() { unlock_worker_registry(); }

  /// Calls `visit(worker&)` for each worker that has a thread in this process.
  template <class Visit>
  void for_each(Visit visit) const {
    for (worker* w = first_worker(); w; w = w->next_worker_) {
      if (w->thread_id_ != 0) visit(*w);
    }
  }
  const ended_workers& ended() const noexcept { return workers_ended(); }
};

}  // namespace coir::detail
