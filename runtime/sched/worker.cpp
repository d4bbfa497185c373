#include "runtime/sched/worker.hpp"

#include <coir/detail/short_lock.hpp>
#include <coir/exceptions.hpp>

#include "runtime/base/assert.hpp"
#include "runtime/fiber/overflow_report.hpp"
#include "runtime/kernel/report.hpp"
#include "runtime/kernel/syscall.hpp"
#include "runtime/kernel/thread_host.hpp"
#include "runtime/sched/crew.hpp"
#include "runtime/sched/hand_shake.hpp"
#include "runtime/sched/monitor_bell.hpp"
#include "runtime/sched/replay.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <system_error>
#include <utility>

#include <unistd.h>

namespace coir::detail {
namespace {

// More than a wake-up ever costs would only burn the processor
constexpr std::int64_t spin_ns_max = 1'000'000;
// In a crew: about what waking a halted processor of a virtual machine costs
constexpr std::int64_t crew_spin_ns = 20'000;
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
// A wait without end is looked at once it has lasted so long
constexpr std::int64_t idle_ns = 50'000'000;
// How long an exiting thread waits for killed fibers to unwind
constexpr std::int64_t farewell_ns = 2'000'000'000;

constinit thread_local worker* this_thread_worker = nullptr;

short_lock registry_lock;
constinit std::atomic<worker*> registry{nullptr};
ended_workers ended;

/// COIR_SPIN_US in ns; -1 without it.
std::int64_t read_spin_ns() noexcept {
  const char* text = std::getenv("COIR_SPIN_US");
  if (!text || !*text) return -1;
  return std::clamp<std::int64_t>(std::strtoll(text, nullptr, 10) * 1000, 0, spin_ns_max);
}

void pause() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

control_block* running_fiber() noexcept {
  worker* w = worker::current_or_null();
  return w ? w->running : nullptr;
}

void describe_running() noexcept {
  if (const control_block* f = running_fiber()) {
    std::fprintf(stderr, "coir: in fiber \"%s\" (#%llu), state %d, wait reason %d\n",
                 f->record->name, static_cast<unsigned long long>(f->record->id),
                 static_cast<int>(f->state), static_cast<int>(f->why));
  }
}

}  // namespace

/// Ends the worker with its thread. The process's main thread has none: its fibers end with the
/// process.
struct thread_exit {
  worker* owned = nullptr;
  ~thread_exit() {
    if (owned) owned->retire();
  }
};

void lock_worker_registry() noexcept { registry_lock.lock(); }

void unlock_worker_registry() noexcept { registry_lock.unlock(); }

ended_workers& workers_ended() noexcept { return ended; }

worker* first_worker() noexcept { return registry.load(std::memory_order_acquire); }

worker* worker::current_or_null() noexcept {
  asm volatile("");  // a call without effect could still be merged with an earlier one
  return this_thread_worker;
}

worker& worker::adopt_thread() {
  std::unique_ptr<reactor> made = make_reactor();
  static thread_local thread_exit at_exit;
  registry_lock.lock();
  worker* w = first_worker();
  const bool is_first = !w;
  while (w && w->is_in_use_) w = w->next_worker_;
  if (!w) {
    w = new (std::nothrow) worker;
    if (!w) {
      registry_lock.unlock();
      throw std::bad_alloc();
    }
    w->next_worker_ = first_worker();
    registry.store(w, std::memory_order_release);
  }
  w->is_in_use_ = true;
  w->begin_counting();
  registry_lock.unlock();

  w->adopt_this_thread();
  w->reactor_ = std::move(made);
  const std::int64_t spin_ns = read_spin_ns();
  w->spins_always_ = spin_ns > 0;
  w->spin_ns_ = std::max<std::int64_t>(spin_ns, 0);
  w->set_clock(w->begun_at_);
  w->main_.home = w;
  w->main_.record = &w->main_record_;
  w->main_record_.owner = &w->main_;
  w->main_record_.name = "main";
  w->main_record_.fork_generation = fork_generation.load(std::memory_order_relaxed);
  w->main_.state = fiber_state::running;
  w->main_.is_interrupted = false;
  w->main_record_.values = std::exchange(thread_values(), {});
  sanitizer_adopt_thread(w->main_);
  w->running = &w->main_;
  this_thread_worker = w;
  // By libc, not the kernel: under `coir run` the main thread may be on any kernel thread.
  if (getpid() != gettid()) at_exit.owned = w;
  describe_running_fiber = describe_running;
  install_overflow_report(running_fiber);
  install_fork_handlers();
  ensure_signal_stack();
  tell_monitor();
  if (is_first) w->begin_ambient_replay();
  return *w;
}

void worker::retire() noexcept {
  end_values(main_record_.values);
  if (running != &main_ || !kill_all_fibers()) {
    kernel::report(
        "a thread ended while %zu of its fibers did not end within 2 s of being killed; they are "
        "abandoned",
        pool_.live());
    this_thread_worker = nullptr;
    const std::lock_guard guard(registry_lock);
    end_counting();
    return;  // never reused: their stacks hold what others may still point at
  }
  this_thread_worker = nullptr;
  release_signal_stack();
  while (!reactor_->has_been_woken(wakes_due_)) kernel::call(SYS_sched_yield);  // one is about to
  reactor_.reset();
  wakes_due_ = 0;
  replay* const left = std::exchange(replay_, nullptr);
  registry_lock.lock();
  end_counting();
  is_in_use_ = false;
  registry_lock.unlock();
  if (left) left->leave(replay_place_);
}

/// Both with the registry locked.
void worker::begin_counting() noexcept {
  std::construct_at(&count_);
  begun_at_ = real_now_ns();
  thread_id_ = static_cast<int>(kernel::call(SYS_gettid));
}

void worker::end_counting() noexcept {
  thread_id_ = 0;
  for (counter worker_counters::*const which : plain_counters)
    (ended.count.*which).add((count_.*which).read());
  ended.slept_ns += count_.slept.read();
  ended.busy_ns += real_now_ns() - begun_at_ - count_.slept.read();
  ++ended.how_many;
}

bool worker::kill_all_fibers() noexcept {
  pool_.for_each_live([this](control_block& f) {
    if (f.record->kind == fiber_kind::generator) return kill_generator(f);
    kill(f, nullptr);
  });
  const deadline end = now_ns() + farewell_ns;
  while (pool_.live() > 0 && now_ns() < end) {
    park(wait_reason::sleep, now_ns() + 1'000'000, interruptible::no);
  }
  return pool_.live() == 0;
}

void worker::end_stretch(control_block& self) noexcept {
  const deadline now = real_now_ns();
  for (stretch* s = self.record->measured; s; s = s->outer)
    s->longest = std::max(s->longest, now - s->since);
  self.is_measured = false;
}

void worker::begin_stretch(control_block& self) noexcept {
  const deadline now = real_now_ns();
  for (stretch* s = self.record->measured; s; s = s->outer) s->since = now;
  self.is_measured = true;
}

/// What the loop does meanwhile on this fiber's stack is not of the fiber's time.
void worker::switch_away_measured(control_block& from) noexcept {
  end_stretch(from);
  switch_away(from);
  begin_stretch(from);
}

control_block* worker::wait_for_ready() noexcept {
  control_block* next;
  do {
    turn(true);
  } while (!(next = next_ready()));
  return next;
}

void worker::end_running(control_block* target) noexcept {
  control_block& self = *running;
  if (&self == last_after_fork_) std::exit(EXIT_SUCCESS);
  self.state = fiber_state::ended;
  count_.turns_given.add();
  // Before the loop, in which the end may be what somebody waits for
  if (self.record->kind == fiber_kind::spawned) count_.fibers_ended.add();
  if (!target) target = next_ready();
  if (!target) target = wait_for_ready();
  if (self.is_interrupted) retract_all(self);  // came too late
  // Not before: the loop may start fibers, and this stack is still in use
  if (self.record->kind != fiber_kind::spawned) --unspawned_;
  pool_.release(self);
  switch_to(self, *target);
  assertion_failed("an ended fiber is not resumed", __FILE__, __LINE__);
}

control_block& worker::make_fiber(std::size_t stack_bytes, void (*entry)(control_block&),
                                  void* argument, fiber_kind kind) {
  control_block* f = pool_.acquire(stack_bytes);
  if (!f) {
    throw std::system_error(
        ENOMEM, std::generic_category(),
        "coir: no memory for the stack of another fiber (" + std::to_string(pool_.live()) +
            " live here); raise ulimit -v or vm.max_map_count, or lower COIR_STACK");
  }
  f->state = fiber_state::suspended;  // a late wake of its last life must not queue it
  f->why = wait_reason::none;
  f->record->entry = entry;
  f->record->argument = argument;
  f->record->kind = kind;
  f->record->is_dismissed = false;
  if (kind != fiber_kind::spawned) {
    ++unspawned_;
  } else {
    count_.fibers_begun.add();
  }
  prepare_context(*f);
  f->record->fork_generation = fork_generation.load(std::memory_order_relaxed);
  return *f;
}

void worker::release_stack(control_block& lender) noexcept {
  lender.state = fiber_state::ended;
  --unspawned_;
  pool_.release(lender);
}

void worker::discard(control_block& f) noexcept {
  f.state = fiber_state::ended;
  count_.fibers_ended.add();
  pool_.release(f);
}

void worker::interrupt(control_block& f, interruption& in) noexcept {
  if (in.is_pending) return;
  in.is_pending = true;
  in.is_told = false;
  f.record->interruptions.push_back(in);
  f.is_interrupted = true;
  if (f.is_interruptible) run_queue_.make_ready(f);
}

void worker::retract(control_block& f, interruption& in) noexcept {
  if (!in.is_pending) return;
  in.is_pending = false;
  f.record->interruptions.remove(in);
  f.is_interrupted = !f.record->interruptions.empty();
}

void worker::retract_all(control_block& f) noexcept {
  while (f.is_interrupted) retract(f, *f.record->interruptions.front());
}

namespace {

[[noreturn]] void throw_kill(interruption& in) {
  auto& request = reinterpret_cast<kill_request&>(in);  // whose first member it is
  if (request.error) std::rethrow_exception(std::exchange(request.error, nullptr));
  throw fiber_exit();
}

}  // namespace

void worker::kill(control_block& f, std::exception_ptr error) noexcept {
  kill_request& request = f.record->kill;
  if (request.in.is_pending || request.is_deferred) return;
  request.error = std::move(error);
  if (request.guards > 0) {
    request.is_deferred = true;
    return;
  }
  request.in.error_number = ECANCELED;
  request.in.raise = throw_kill;
  interrupt(f, request.in);
}

void worker::kill_generator(control_block& lender) noexcept {
  if (lender.state != fiber_state::suspended) return;  // in use, or queued already
  kill(lender, nullptr);
  lender.state = fiber_state::ready;
  run_queue_.push_back(lender);
}

namespace {

void make_ready_at_home(remote_call& call) noexcept {
  control_block& f = fiber_record::owner_of(call);
  // Pairs with the exchange in wake()
  f.record->wake_is_posted.exchange(false, std::memory_order_acq_rel);
  worker& w = worker::of(f);
  w.count().wakes_received.add();
  w.run_queue().make_ready(f);
}

}  // namespace

void worker::wake_from_elsewhere(fiber_record& record, thread_slots& home) noexcept {
  if (worker* const here = current_or_null()) here->count_.wakes_sent.add();
  // One that is posted already has not been looked at yet, and will be after this.
  if (record.wake_is_posted.exchange(true, std::memory_order_acq_rel)) return;
  record.wake_call.invoke = make_ready_at_home;
  static_cast<worker&>(home).post(record.wake_call);
}

void worker::sit(crew_seat* seat) noexcept {
  registry_lock.lock();
  seat_ = seat;
  registry_lock.unlock();
  const bool may_spin = seat && seat->all->may_spin() && !kernel::host_of_threads();
  if (may_spin && !spins_always_) spin_ns_ = crew_spin_ns;
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
  const char* const seed = std::getenv("COIR_SEED");
  if (!seed || !*seed) return;
  const char* const clock = std::getenv("COIR_CLOCK");
  begin_replay({.seed = std::strtoull(seed, nullptr, 0),
                .has_virtual_clock = clock && std::strcmp(clock, "virtual") == 0,
                .is_ambient = true});
}

void worker::end_replay() noexcept {
  replay* const ended = std::exchange(replay_, nullptr);
  ended->leave(replay_place_);
  delete ended;
  timers_.begin_anew();
  set_clock(now_ns());
}

void worker::take_part(replay& in, std::size_t place) noexcept {
  replay_ = &in;
  replay_place_ = place;
  switches_until_turn_ = 1;
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
  switches_until_turn_ = 1;
  if (run_queue_.empty()) return;
  if (may_wait) ++switches_until_turn_;  // the pick that follows takes the one that is chosen here
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
  run_remote_calls();
  const deadline now = now_ns();
  set_clock(now);
  if (!timers_.empty()) expire_timers(now);
  poll(0);
  while (seat_ && (run_queue_.empty() || replay_->roll(2) == 0)) {
    remote_call* const unbegun = seat_->all->take(*seat_);
    if (!unbegun) break;
    unbegun->invoke(*unbegun);
  }
  return !run_queue_.empty();
}

void worker::turn(bool may_wait) noexcept {
  if (replay_) [[unlikely]]
    return turn_in_replay(may_wait);
  switches_until_turn_ = events_per_turn;
  run_remote_calls();
  const deadline now = now_ns();
  set_clock(now);
  if (!timers_.empty()) expire_timers(now);
  if (seat_) {
    if (remote_call* const oldest = seat_->all->take_oldest(*seat_)) oldest->invoke(*oldest);
  }
  if (!may_wait || !run_queue_.empty()) return poll(0);
  if (spin_ns_ > 0 && (spins_always_ || does_spin_pay_) && spin()) return;
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
    if (!timers_.empty()) expire_timers(now);
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
