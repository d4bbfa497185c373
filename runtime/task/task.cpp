// The life of a spawned function, from start_task to the wake of its joiners.
#include "runtime/task/task.hpp"

#include "runtime/kernel/report.hpp"
#include "runtime/sched/crew.hpp"
#include "runtime/sched/worker.hpp"
#include "runtime/task/current_values.hpp"
#include "runtime/task/fiber_start.hpp"
#include "runtime/task/handlers.hpp"

#include <memory>
#include <mutex>
#include <new>
#include <stdexcept>

namespace coir::detail {

/// The verbs of a task that its fiber runs.
class task_life {
 public:
  static void start(task* t, const void* site) {
    task_ref<task> owned(t);
    worker& w = worker::current();
    t->id_ = next_fiber_id();
    w.start(make_fiber(w, owned, 0, site, run));
  }

  static void start(task* t, const attributes& how, const void* site,
                    void (*entry)(control_block&)) {
    task_ref<task> owned(t);
    worker& w = worker::current();
    identify(*t, how);
    control_block& f = make_fiber(w, owned, how.stack_bytes, site, entry);
    how.run_first ? w.start_first(f) : w.start(f);
  }

  /// Makes a task ready to be handed over, with the caller's reference.
  static remote_call& prepare(const crew& where, task_ref<task> t, const attributes& how,
                              const void* site, void (*begins)(remote_call&) noexcept) {
    identify(*t, how);
    announce(*t, site);
    t->is_handed_over_ = true;
    t->is_unseen_ = true;
    t->site_ = site;
    t->stack_bytes_ = how.stack_bytes;
    t->kills_before_ = where.kills();
    t->inherited_ = retain_inherited(current_values().inherited);
    t->invoke = begins;
    return *t.detach();
  }

  /// Makes the fiber of a task that was handed over, on the member of the crew that invokes it.
  static void begin(remote_call& call) noexcept {
    task_ref<task> owned(static_cast<task*>(&call));
    worker& w = *worker::current_or_null();
    inherited_values* const inherited = std::exchange(owned->inherited_, nullptr);
    control_block* const f = make_for(w, *owned);
    if (f) {
      give_inherited(inherited, f->record->values);
      w.start(*f);
      // On its own stack: what the function has captured may park where it is destroyed
      if (owned->kills_before_ != w.seat()->all->kills()) w.dismiss(*f);
      owned.detach();
    } else {
      release_inherited(inherited);
    }
    w.seat()->taken.add();  // after fibers_begun: see crew::is_quiet
  }

  /// As that, for one that was sent to this member alone.
  static void begin_sent(remote_call& call) noexcept {
    begin(call);
    worker::current_or_null()->seat()->received.add();
  }

  static void run(control_block& f) {
    execute(f);
    worker::of(f).end_running();
  }

  static void run_later(control_block& f) {
    worker& w = worker::of(f);
    const deadline when = task_of(f).start_time_;
    while (w.park(wait_reason::sleep, when, interruptible::yes) == wait_status::woken) {
    }
    run(f);
  }

  static task* of(const control_block& f) noexcept {
    const bool runs_task = f.record->entry == run || f.record->entry == run_later;
    return runs_task ? static_cast<task*>(f.record->argument) : nullptr;
  }

  static void set_start_time(task& t, deadline when) noexcept { t.start_time_ = when; }

  static void identify(task& t, const attributes& how) {
    if (!how.name.empty()) t.extras().name = how.name;
    t.id_ = next_fiber_id();
  }

  /// Does what calls the function, or throws in its place; then destroys the function.
  template <class Body>
  static task::state perform(task& t, Body body) noexcept {
    t.state_.store(task::state::running, std::memory_order_relaxed);
    const task::state how = call(t, body);
    t.drop_function();
    return how;
  }

  static task::state perform(task& t) noexcept {
    return perform(t, [&t] { t.run(); });
  }

  static void end(task& t, task::state how) noexcept { finish(t, how); }

 private:
  static void announce(task& t, const void* site) {
    // coir's own fibers have no site
    if (site && has_spawn_hook.load(std::memory_order_relaxed)) [[unlikely]]
      announce_spawn(t.name(), t.id_, site);
  }

  /// Makes the fiber of a task that was identified, and hands the task over to it.
  static control_block& make_fiber(worker& w, task_ref<task>& owned, std::size_t stack_bytes,
                                   const void* site, void (*entry)(control_block&)) {
    announce(*owned, site);
    control_block& f = make_silently(w, *owned, stack_bytes, site, entry);
    inherit_values(w.running->record->values, f.record->values);
    owned->fiber_ = &f;
    owned.detach();  // the fiber's own now, dropped at its end
    return f;
  }

  static control_block& make_silently(worker& w, task& t, std::size_t stack_bytes, const void* site,
                                      void (*entry)(control_block&)) {
    control_block& f = w.make_fiber(stack_bytes_or_default(stack_bytes), entry, &t);
    f.record->id = t.id_;
    const task_extras* const extras = t.extras_.load(std::memory_order_acquire);
    f.record->name = extras ? extras->name.c_str() : "fiber";
    f.record->spawn_site = site;
    return f;
  }

  /// Null when a kill came first, or there was no memory, and the task has ended.
  static control_block* make_for(worker& w, task& t) noexcept {
    control_block* f = nullptr;
    std::exception_ptr error;
    try {
      f = &make_silently(w, t, t.stack_bytes_, t.site_, run);
    } catch (const std::exception& e) {
      kernel::report("fiber \"%s\" (#%llu) cannot begin: %s", t.name().c_str(),
                     static_cast<unsigned long long>(t.id_), e.what());
      error = std::current_exception();
    }
    t.lock_.lock();
    const bool was_killed = std::exchange(t.is_taken_, true);
    if (!was_killed) t.fiber_ = f;
    t.is_unseen_ = false;
    const bool must_call = was_killed && t.is_calling_;
    t.lock_.unlock();
    if (must_call) task::call_back(t);
    if (f && was_killed) {
      w.discard(*f);
      return nullptr;
    }
    if (!f && !was_killed) {
      t.error_ = std::move(error);
      t.drop_function();
      t.retain();  // for finish
      finish(t, task::state::failed);
    }
    return f;
  }

  static task& task_of(control_block& f) noexcept {
    return *static_cast<task*>(f.record->argument);
  }

  static void execute(control_block& f) noexcept {
    task& t = task_of(f);
    hear_of_kills(f);
    const task::state how = perform(t, [&] {
      if (f.is_interrupted) throw_if_interrupted();  // killed before it began: it never runs
      t.run();
    });
    end_values(f.record->values);
    f.record->name = "ended fiber";  // the task, which owns the name, may go now
    f.record->argument = nullptr;
    finish(t, how);
  }

  /// A kill that another thread has asked for is on its way; it comes before the beginning.
  static void hear_of_kills(control_block& f) noexcept {
    f.state = fiber_state::suspended;  // it gets it below, not here
    worker::of(f).look_into_inbox();
    f.state = fiber_state::running;
  }

  template <class Body>
  static task::state call(task& t, Body& body) noexcept {
    try {
      body();
      return task::state::succeeded;
    } catch (const fiber_exit&) {
      return task::state::succeeded;
    } catch (...) {
      t.error_ = std::current_exception();
      handle_error(t.name(), t.id(), false);
      return task::state::failed;
    }
  }

  static void finish(task& t, task::state how) noexcept {
    t.lock_.lock();
    t.fiber_ = nullptr;
    t.state_.store(how, std::memory_order_release);  // pairs with the acquire in ready()
    end_watch* later = tell_watches(t);
    t.joiners_.wake_all();
    const task_extras* const extras = t.extras_.load(std::memory_order_acquire);
    const bool must_call = extras && !extras->callbacks.empty();
    t.is_calling_ = must_call;
    // Killed by a thread that may end at once: its callbacks are for the one that will come to it
    const bool is_left = t.is_unseen_;
    t.is_settled_.store(true, std::memory_order_release);  // pairs with the acquire in wait_until
    t.lock_.unlock();
    while (later) {
      end_watch* const next = later->next_watch;
      later->afterwards(*later, t);
      later = next;
    }
    if (must_call && !is_left) task::call_back(t);
    t.release();
  }

  /// Those that want to be called again.
  static end_watch* tell_watches(task& t) noexcept {
    end_watch* later = nullptr;
    end_watch* next = nullptr;
    for (end_watch* w = std::exchange(t.watches_, nullptr); w; w = next) {
      next = w->next_watch;
      if (!w->ended(*w, t)) continue;
      w->next_watch = later;
      later = w;
    }
    return later;
  }
};

task::~task() { delete extras_.load(std::memory_order_acquire); }

const std::string& task::name() const noexcept {
  static const std::string* const unnamed = new std::string("fiber");  // outlives exit
  const task_extras* const have = extras_.load(std::memory_order_acquire);
  return have ? have->name : *unnamed;
}

task_extras& task::extras() {
  // Pairs with the exchange by which another thread makes them
  if (task_extras* const have = extras_.load(std::memory_order_acquire)) return *have;
  auto made = std::make_unique<task_extras>();
  task_extras* theirs = nullptr;
  if (extras_.compare_exchange_strong(theirs, made.get(), std::memory_order_acq_rel))
    return *made.release();
  return *theirs;
}

bool task::wait_until(deadline until) {
  if (is_settled_.load(std::memory_order_acquire)) return true;
  lock_.lock();
  if (ready()) {
    lock_.unlock();
    return true;
  }
  if (const worker* w = worker::current_or_null(); w && fiber_ == w->running) {
    lock_.unlock();
    throw std::logic_error("coir: a fiber cannot join itself");
  }
  waiter self;
  self.payload = this;  // for reports
  const wait_status how = joiners_.wait(lock_, self, until, wait_reason::join);
  if (how == wait_status::interrupted) throw_if_interrupted();
  return how == wait_status::woken;
}

void task::wait_ended() noexcept {
  lock_.lock();
  if (ready()) return lock_.unlock();
  waiter self;
  self.payload = this;
  joiners_.wait(lock_, self, never, wait_reason::join, interruptible::no);
}

void task::rethrow() const {
  if (error_) std::rethrow_exception(error_);
}

namespace {

/// A kill on its way to the worker of its fiber.
struct kill_call final : remote_call {
  kill_call(task& t, std::exception_ptr with) noexcept : target(&t), error(std::move(with)) {
    t.retain();
    invoke = [](remote_call& call) noexcept {
      std::unique_ptr<kill_call> self(static_cast<kill_call*>(&call));
      self->target->request_kill(std::move(self->error));
    };
  }
  task_ref<task> target;
  std::exception_ptr error;
};

}  // namespace

/// Whoever was to make its fiber drops a reference when it comes to that.
bool task::take_back() noexcept {
  if (!is_handed_over_ || is_taken_) return false;
  is_taken_ = true;
  retain();
  return true;
}

void task::request_kill(std::exception_ptr error) {
  lock_.lock();
  control_block* const f = fiber_;
  const bool is_taken = !f && !ready() && take_back();
  lock_.unlock();
  if (is_taken) finish_task(*this, give_up_task(*this, std::move(error)));
  if (!f) return;  // has ended; a control block that ends after this look ignores what follows
  worker& home = worker::of(*f);
  worker* const here = worker::current_or_null();
  if (&home != here) return home.post(*new kill_call(*this, std::move(error)));
  here->kill(*f, std::move(error));
  // A fiber that asks it of itself; one that is parked and drives the loop is `running` there, too.
  if (f->state == fiber_state::running) throw_if_interrupted();
}

bool task::watch(end_watch& w) noexcept {
  const std::lock_guard guard(lock_);
  end_watch** const end = watch_of(w.owner);
  if (ready() || *end) return false;
  w.next_watch = nullptr;
  *end = &w;
  return true;
}

end_watch* task::unwatch(const void* owner) noexcept {
  const std::lock_guard guard(lock_);
  end_watch** const link = watch_of(owner);
  return *link ? std::exchange(*link, (*link)->next_watch) : nullptr;
}

bool task::is_watched_by(const void* owner) noexcept {
  const std::lock_guard guard(lock_);
  return *watch_of(owner) != nullptr;
}

/// What points at the watch of `owner`, or the end of the list.
end_watch** task::watch_of(const void* owner) noexcept {
  end_watch** link = &watches_;
  while (*link && (*link)->owner != owner) link = &(*link)->next_watch;
  return link;
}

task* task_of_fiber(const control_block& f) noexcept { return task_life::of(f); }

task* current_task() noexcept {
  const worker* const w = worker::current_or_null();
  return w ? task_life::of(*w->running) : nullptr;
}

void start_task(task* t, const attributes& how, const void* site) {
  task_life::start(t, how, site, task_life::run);
}

void start_task(task* t, const void* site) { task_life::start(t, site); }

void start_task_at(task* t, const attributes& how, const void* site, deadline when) {
  task_life::set_start_time(*t, when);
  task_life::start(t, how, site, task_life::run_later);
}

void start_task_among(crew& where, task* t, const attributes& how, const void* site) {
  const worker* const w = worker::current_or_null();
  where.add(task_life::prepare(where, task_ref<task>(t), how, site, task_life::begin),
            w ? w->seat() : nullptr);
}

void start_task_on(crew& where, std::size_t number, task* t, const attributes& how,
                   const void* site) {
  where.add_for(number,
                task_life::prepare(where, task_ref<task>(t), how, site, task_life::begin_sent));
}

void identify_task(task& t, const attributes& how) { task_life::identify(t, how); }

task::state perform_task(task& t) noexcept { return task_life::perform(t); }

task::state give_up_task(task& t, std::exception_ptr error) noexcept {
  return task_life::perform(t, [&error] {
    if (error) std::rethrow_exception(std::move(error));
    throw fiber_exit();
  });
}

void finish_task(task& t, task::state how) noexcept { task_life::end(t, how); }

}  // namespace coir::detail
