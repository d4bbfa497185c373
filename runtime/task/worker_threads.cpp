#include "runtime/task/worker_threads.hpp"

#include "runtime/kernel/environment.hpp"
#include "runtime/sched/worker.hpp"

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <new>
#include <stdexcept>
#include <system_error>

#include <sched.h>

namespace coir::detail {
namespace {

constexpr std::size_t thread_name_max = 15;  // the kernel's

std::vector<int> usable_cpus() {
  cpu_set_t usable;
  CPU_ZERO(&usable);
  std::vector<int> found;
  if (sched_getaffinity(0, sizeof usable, &usable) != 0) return found;
  for (int i = 0; i < CPU_SETSIZE; ++i) {
    if (CPU_ISSET(i, &usable)) found.push_back(i);
  }
  return found;
}

/// How many the calling thread may use.
std::size_t processors() { return std::max<std::size_t>(usable_cpus().size(), 1); }

/// COIR_WORKERS, or as many as there are processors.
std::size_t count_unless_said() {
  return kernel::number_said("COIR_WORKERS", 1, worker_options::count_max,
                             std::min(processors(), worker_options::count_max));
}

std::size_t count_for(const worker_options& how) {
  if (how.count > worker_options::count_max) {
    throw std::invalid_argument("coir::workers: " + std::to_string(how.count) +
                                " workers asked for, but there are at most " +
                                std::to_string(worker_options::count_max));
  }
  return how.count ? how.count : count_unless_said();
}

std::string name_of(const std::string& common, std::size_t number) {
  std::string tail = std::to_string(number);
  tail.insert(tail.begin(), '-');
  return common.substr(0, thread_name_max - tail.size()) + tail;
}

void bind_to(int cpu) {
  cpu_set_t only;
  CPU_ZERO(&only);
  int error = EINVAL;
  if (cpu >= 0 && cpu < CPU_SETSIZE) {
    CPU_SET(static_cast<unsigned>(cpu), &only);
    error = pthread_setaffinity_np(pthread_self(), sizeof only, &only);
  }
  if (error != 0) {
    throw std::system_error(error, std::generic_category(),
                            "coir: cannot bind a worker to processor " + std::to_string(cpu) +
                                "; taskset -p shows which ones there are");
  }
}

bool is_to_be_dismissed(worker& w, const control_block& f) noexcept {
  return f.record->kind == fiber_kind::spawned && &f != &w.main_fiber() && !f.record->is_dismissed;
}

/// The oldest. Their places in memory depend on what was there before them, and so does the order
/// in which they are found.
control_block* next_to_dismiss(worker& w) noexcept {
  control_block* oldest = nullptr;
  w.for_each_fiber([&](control_block& f) {
    const bool is_older = !oldest || f.record->id < oldest->record->id;
    if (is_older && is_to_be_dismissed(w, f)) oldest = &f;
  });
  return oldest;
}

/// Inside a handler: what the maker of the set is told.
std::exception_ptr reason_of_failed_start() noexcept {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    try {
      throw std::system_error(ENOMEM, std::generic_category(),
                              "coir: no memory for a worker; raise ulimit -v or make fewer");
    } catch (...) {
      return std::current_exception();
    }
  } catch (...) {
    return std::current_exception();
  }
}

}  // namespace

worker_threads::worker_threads(workers& owner, const worker_options& how)
    : crew(count_for(how), processors()),
      owner_(owner),
      replay_(worker::current().in_replay()),
      name_(how.name),
      threads_(new thread[size()]),
      fork_generation_(
          (worker::install_fork_handlers(), fork_generation.load(std::memory_order_relaxed))),
      starting_(size()) {
  const int error = start(how);
  lock_.lock();
  if (starting_ > 0) {
    waiter self;
    joiners_.wait(lock_, self, never, wait_reason::join, interruptible::no);
  } else {
    lock_.unlock();
  }
  std::exception_ptr failure;
  for (std::size_t i = 0; i < size() && !failure; ++i) failure = threads_[i].error;
  if (error == 0 && !failure) return;
  end_threads();
  if (failure) std::rethrow_exception(failure);
  throw std::system_error(error, std::generic_category(),
                          "coir: cannot start a thread for a worker; raise ulimit -u");
}

worker_threads::~worker_threads() {
  if (!is_left_behind()) end_threads();
}

bool worker_threads::is_left_behind() const noexcept {
  return fork_generation.load(std::memory_order_relaxed) != fork_generation_;
}

/// An errno when a thread could not be started: the others are there then.
int worker_threads::start(const worker_options& how) {
  std::vector<int> cpus = how.cpus;
  if (how.pin && cpus.empty()) cpus = usable_cpus();
  int error = 0;
  for (std::size_t i = 0; i < size(); ++i) {
    thread& t = threads_[i];
    t.all = this;
    t.number = i;
    if (!cpus.empty()) t.cpu = cpus[i % cpus.size()];
    if (error == 0) error = start(t);
    t.is_started = error == 0;
    if (!t.is_started) count_start();
  }
  return error;
}

int worker_threads::start(thread& t) {
  if (replay_) t.replay_place = replay_->enlist();
  const int error = pthread_create(&t.handle, nullptr, serve, &t);
  if (replay_ && error != 0) replay_->strike(t.replay_place);
  return error;
}

void worker_threads::count_start() noexcept {
  const std::lock_guard guard(lock_);
  if (--starting_ == 0) joiners_.wake_all();
}

void worker_threads::end_threads() noexcept {
  is_over_.store(true, std::memory_order_release);
  for (std::size_t i = 0; i < size(); ++i) {
    if (threads_[i].main) worker::wake(*threads_[i].main);
  }
  // They need the baton for their last steps
  const auto is_here = [this](std::size_t i) {
    return replay_ && threads_[i].is_started && replay_->is_present(threads_[i].replay_place);
  };
  for (std::size_t i = 0; i < size(); ++i) {
    while (is_here(i)) worker::current().yield();
    if (threads_[i].is_started) pthread_join(threads_[i].handle, nullptr);
  }
}

void* worker_threads::serve(void* argument) noexcept {
  thread& self = *static_cast<thread*>(argument);
  replay* const in = self.all->replay_;
  if (in) in->arrive(self.replay_place);
  try {
    pthread_setname_np(pthread_self(), name_of(self.all->name_, self.number).c_str());
    if (self.cpu) bind_to(*self.cpu);
    worker::current();
  } catch (...) {
    self.error = reason_of_failed_start();
  }
  if (self.error) {
    self.all->count_start();
    if (in) in->leave(self.replay_place);
    return nullptr;
  }
  if (in) worker::current().take_part(*in, self.replay_place);
  serve_crew(self);
  return nullptr;
}

void worker_threads::serve_crew(thread& self) {
  worker& w = worker::current();
  worker_threads& all = *self.all;
  crew_seat& own = all.seat(self.number);
  own.occupant = &w;
  self.main = &w.main_fiber();
  w.sit(&own);
  all.count_start();
  while (!all.is_over_.load(std::memory_order_acquire))
    w.park(wait_reason::serve, never, interruptible::no);
  w.look_into_inbox();  // a kill that it has not met: the call goes with the set
  w.sit(nullptr);
}

wait_status worker_threads::wait_quiet(deadline until, interruptible kind) {
  worker::current();  // which waits
  const std::lock_guard outer(lock_);
  if (++waiting_ == 1) tell_when_quiet(tell_joiners, this);
  auto how = wait_status::woken;
  if (!is_quiet()) {
    waiter self;
    how = joiners_.wait(lock_, self, until, wait_reason::join, kind);
    lock_.lock();
  }
  if (--waiting_ == 0) tell_when_quiet(nullptr, nullptr);
  return how;
}

void worker_threads::tell_joiners(void* self) noexcept {
  auto& all = *static_cast<worker_threads*>(self);
  const std::lock_guard guard(all.lock_);
  // The member may have come late: this is for those who wait now, perhaps for other fibers
  if (all.is_quiet()) all.joiners_.wake_all();
}

void worker_threads::kill_all() noexcept {
  count_kill();  // for those that have not begun
  for (std::size_t i = 0; i < size(); ++i) {
    thread& t = threads_[i];
    if (t.is_kill_posted.exchange(true, std::memory_order_acq_rel)) continue;
    t.kill.invoke = kill_here;
    tell(i, t.kill);
  }
}

void worker_threads::kill_here(remote_call& call) noexcept {
  worker& w = *worker::current_or_null();
  crew_seat& own = *w.seat();
  auto& all = static_cast<worker_threads&>(*own.all);
  // Pairs with the exchange in kill_all: what comes after this look is seen by the next
  all.threads_[own.number].is_kill_posted.exchange(false, std::memory_order_acq_rel);
  (void)call;
  if (w.in_replay()) {
    while (control_block* const next = next_to_dismiss(w)) w.dismiss(*next);
  } else {
    w.for_each_fiber([&](control_block& f) {
      if (is_to_be_dismissed(w, f)) w.dismiss(f);
    });
  }
  own.taken.add();
}

}  // namespace coir::detail
