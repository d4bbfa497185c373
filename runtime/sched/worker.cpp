#include "runtime/sched/worker.hpp"

#include <coir/detail/short_lock.hpp>
#include <coir/exceptions.hpp>

#include "runtime/base/assert.hpp"
#include "runtime/fiber/overflow_report.hpp"
#include "runtime/kernel/environment.hpp"
#include "runtime/kernel/report.hpp"
#include "runtime/kernel/syscall.hpp"
#include "runtime/kernel/thread_host.hpp"
#include "runtime/sched/crew.hpp"
#include "runtime/sched/monitor_bell.hpp"
#include "runtime/sched/replay.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <system_error>
#include <utility>

#include <unistd.h>

namespace coir::detail {
namespace {

// More than a wake-up ever costs would only burn the processor
constexpr std::uint64_t spin_us_max = 1000;
// In a crew: about what waking a halted processor of a virtual machine costs
constexpr std::int64_t crew_spin_ns = 20'000;
// How long an exiting thread waits for killed fibers to unwind
constexpr std::int64_t farewell_ns = 2'000'000'000;

constinit thread_local worker* this_thread_worker = nullptr;

short_lock registry_lock;
constinit std::atomic<worker*> registry{nullptr};
ended_workers ended;

/// COIR_SPIN_US in ns; -1 without it.
std::int64_t read_spin_ns() noexcept {
  constexpr char variable[] = "COIR_SPIN_US";
  if (!kernel::text_said(variable)) return -1;
  return static_cast<std::int64_t>(kernel::number_said(variable, 0, spin_us_max, 0)) * 1000;
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
  w->is_spin_said_ = spin_ns >= 0;
  w->spin_ns_ = std::max<std::int64_t>(spin_ns, 0);
  w->set_clock(now_ns());
  w->timers_.begin_anew();  // its last life may have been on a virtual clock
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
  if (sleeps_in_foreign_loop_) end_foreign_sleep();
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
  count_.reset();
  next_turn_ = events_per_turn;
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
  expect_measured();
}

/// What the loop does meanwhile on this fiber's stack is not of the fiber's time.
void worker::switch_away_measured(control_block& from) noexcept {
  end_stretch(from);
  switch_away(from);
  begin_stretch(from);
}

void worker::end_running(control_block* target) noexcept {
  control_block& self = *running;
  if (&self == last_after_fork_) std::exit(EXIT_SUCCESS);
  self.state = fiber_state::ended;
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
  if (may_spin && !is_spin_said_) spin_ns_ = crew_spin_ns;
}

}  // namespace coir::detail
