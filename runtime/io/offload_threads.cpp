// A job goes into the queue; a thread takes it out, does it, counts as idle again, and only then
// tells that the job is done: so that the next job of whoever waited finds that thread idle and
// starts no other.
//
// A thread that ends touches the object for the last time when it gives the lock back with threads_
// one lower; whoever waits for that takes the lock before it goes on.
#include "runtime/io/offload_threads.hpp"

#include "runtime/base/assert.hpp"
#include "runtime/kernel/thread_host.hpp"
#include "runtime/sched/replay.hpp"
#include "runtime/sched/worker.hpp"

#include <climits>
#include <memory>
#include <mutex>

#include <pthread.h>
#include <signal.h>

namespace coir::io {
namespace {

// How often a thread that serves fibers looks whether any is left
constexpr std::int64_t look_period_ns = 1'000'000;

constinit detail::short_lock list_lock;
constinit offload_threads* list_head = nullptr;  // guarded by list_lock

constinit thread_local const offload_threads* this_threads_owner = nullptr;

/// Not inlined: the address of a thread-local must not be kept over a switch.
[[gnu::noinline]] const offload_threads* owner_of_this_thread() noexcept {
  asm volatile("");
  return this_threads_owner;
}

}  // namespace

struct offload_fork {
  static void prepare() noexcept {
    list_lock.lock();
    for (offload_threads* each = list_head; each; each = each->next_) each->lock_.lock();
  }
  static void in_parent() noexcept {
    for (offload_threads* each = list_head; each; each = each->next_) each->lock_.unlock();
    list_lock.unlock();
  }
  static void in_child() noexcept {
    for (offload_threads* each = list_head; each; each = each->next_) each->forget_all();
    list_lock.unlock();
  }
};

namespace {

const int registered =
    pthread_atfork(offload_fork::prepare, offload_fork::in_parent, offload_fork::in_child);

}  // namespace

offload_threads::offload_threads(std::size_t threads_max, const char* thread_name,
                                 void (*forked)(void*) noexcept, void* argument) noexcept
    : thread_name_(thread_name), forked_(forked), argument_(argument), threads_max_(threads_max) {
  (void)registered;
  kernel::find_thread_host();
  const std::lock_guard guard(list_lock);
  next_ = list_head;
  if (next_) next_->prev_ = this;
  list_head = this;
}

offload_threads::~offload_threads() {
  COIR_ASSERT(threads_ == 0);
  COIR_ASSERT(jobs_ == 0);
  const std::lock_guard guard(list_lock);
  (prev_ ? prev_->next_ : list_head) = next_;
  if (next_) next_->prev_ = prev_;
}

int offload_threads::submit(offload_job& job) noexcept {
  detail::begin_outside_work();
  lock_.lock();
  push(job);
  const bool needs_thread = claim_thread();
  changes_.fetch_add(1, std::memory_order_relaxed);
  lock_.unlock();
  kernel::wake_waiters(changes_, 1);
  if (!needs_thread) return 0;
  const int error = start_claimed();
  if (error == 0) return 0;
  // Else others serve it, or have
  return threads() == 0 && take_back(job) ? error : 0;
}

bool offload_threads::take_back(offload_job& job) noexcept {
  const std::lock_guard guard(lock_);
  if (!remove(job)) return false;
  detail::end_outside_work();
  return true;
}

int offload_threads::set_threads_max(std::size_t count) noexcept {
  lock_.lock();
  threads_max_ = count;
  changes_.fetch_add(1, std::memory_order_relaxed);
  bool needs_thread = claim_thread();
  lock_.unlock();
  kernel::wake_waiters(changes_, INT_MAX);
  while (needs_thread) {
    const int error = start_claimed();
    const std::lock_guard guard(lock_);
    if (error < 0) return threads_ == 0 ? error : 0;
    needs_thread = claim_thread();
  }
  return 0;
}

void offload_threads::set_idle_max(std::int64_t ns) noexcept {
  const std::lock_guard guard(lock_);
  idle_max_ns_ = ns;
}

std::size_t offload_threads::threads() noexcept {
  const std::lock_guard guard(lock_);
  return threads_;
}

bool offload_threads::is_own_thread() const noexcept { return owner_of_this_thread() == this; }

detail::wait_status offload_threads::end_threads(detail::deadline until,
                                                 detail::interruptible kind) {
  lock_.lock();
  ++enders_;
  changes_.fetch_add(1, std::memory_order_relaxed);
  lock_.unlock();
  kernel::wake_waiters(changes_, INT_MAX);
  auto how = detail::wait_status::woken;
  lock_.lock();
  if (threads_ > 0) {
    detail::waiter self;
    how = end_.wait(lock_, self, until, detail::wait_reason::offload, kind);
    lock_.lock();
  }
  --enders_;
  lock_.unlock();
  return how;
}

/// Under the lock: counts a thread that the jobs in the queue need, and that start_claimed() is to
/// start.
bool offload_threads::claim_thread() noexcept {
  if (jobs_ <= idle_ || threads_ >= threads_max_) return false;
  ++threads_;
  ++idle_;
  return true;
}

/// Without the lock, which must not be held while the process gets its second thread.
int offload_threads::start_claimed() noexcept {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  const int error = pthread_create(&thread, nullptr, serve, this);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (error == 0) {
    pthread_detach(thread);
  } else {
    const std::lock_guard guard(lock_);
    leave();
  }
  return -error;
}

void* offload_threads::serve(void* argument) noexcept {
  auto& self = *static_cast<offload_threads*>(argument);
  pthread_setname_np(pthread_self(), self.thread_name_);
  this_threads_owner = &self;
  while (offload_job* job = self.next_job()) self.perform(*job);
  return nullptr;
}

/// The next job; null when the thread has to end, and then this object may be gone.
offload_job* offload_threads::next_job() noexcept {
  detail::deadline until = detail::never;
  for (bool is_first_look = true;; is_first_look = false) {
    lock_.lock();
    if (is_first_look && idle_max_ns_ != detail::never) until = detail::now_ns() + idle_max_ns_;
    const bool must_end = threads_ > threads_max_;
    if (head_ && !must_end) {
      offload_job& job = pop();
      lock_.unlock();
      return &job;
    }
    const bool has_waited = until != detail::never && detail::now_ns() >= until;
    if (must_end || enders_ > 0 || has_waited) {
      leave();
      lock_.unlock();
      return nullptr;
    }
    const unsigned seen = changes_.load(std::memory_order_relaxed);
    lock_.unlock();
    kernel::wait_while(changes_, seen, until);
  }
}

void offload_threads::perform(offload_job& job) noexcept {
  void (*const done)(offload_job&) noexcept = job.done;
  job.run(job);
  lock_.lock();
  ++idle_;
  lock_.unlock();
  if (done) done(job);
  detail::end_outside_work();
  const detail::worker* const w = detail::worker::current_or_null();
  if (w && w->live() > 0) serve_fibers();
}

/// The thread is busy until its fibers have ended.
void offload_threads::serve_fibers() noexcept {
  lock_.lock();
  --idle_;
  const bool needs_thread = claim_thread();
  lock_.unlock();
  if (needs_thread) start_claimed();
  detail::worker& w = *detail::worker::current_or_null();
  for (w.yield(); w.live() > 0;) {
    w.park(detail::wait_reason::sleep, detail::now_ns() + look_period_ns,
           detail::interruptible::no);
  }
  const std::lock_guard guard(lock_);
  ++idle_;
}

void offload_threads::push(offload_job& job) noexcept {
  job.next = nullptr;
  (tail_ ? tail_->next : head_) = &job;
  tail_ = &job;
  ++jobs_;
}

offload_job& offload_threads::pop() noexcept {
  offload_job& first = *head_;
  head_ = first.next;
  if (!head_) tail_ = nullptr;
  --jobs_;
  --idle_;
  return first;
}

bool offload_threads::remove(offload_job& job) noexcept {
  offload_job* before = nullptr;
  for (offload_job* each = head_; each; before = each, each = each->next) {
    if (each != &job) continue;
    (before ? before->next : head_) = job.next;
    if (tail_ == &job) tail_ = before;
    --jobs_;
    return true;
  }
  return false;
}

/// Under the lock: an idle thread goes.
void offload_threads::leave() noexcept {
  --idle_;
  if (--threads_ == 0) end_.wake_all();
}

/// In the child of a fork, which has one thread, perhaps one of these with its job.
void offload_threads::forget_all() noexcept {
  std::construct_at(&lock_);
  std::construct_at(&end_);
  head_ = tail_ = nullptr;
  jobs_ = idle_ = enders_ = 0;
  threads_ = is_own_thread() ? 1 : 0;
  if (forked_) forked_(argument_);
}

}  // namespace coir::io
