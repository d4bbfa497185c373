// A queue and a few detached threads. They are started on demand, block all signals, stay, and know
// nothing of fibers: whoever waits for a job is woken through its worker's inbox.
#include "runtime/io/offload.hpp"

#include "runtime/kernel/calls.hpp"
#include "runtime/kernel/report.hpp"
#include "runtime/sched/worker.hpp"

#include <coir/offload.hpp>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <mutex>
#include <system_error>

#include <pthread.h>
#include <signal.h>

namespace coir::io {
namespace {

// Deep enough for a disk; each costs a stack, not a processor
constexpr int threads_max_default = 8;
constexpr int threads_max_limit = 1024;

/// COIR_OFFLOAD_THREADS, or the default; read once.
int threads_max() noexcept {
  static const int count = [] {
    const char* text = std::getenv("COIR_OFFLOAD_THREADS");
    if (!text || !*text) return threads_max_default;
    char* end = nullptr;
    const long said = std::strtol(text, &end, 10);
    if (*end == '\0' && said >= 1 && said <= threads_max_limit) return static_cast<int>(said);
    kernel::report("COIR_OFFLOAD_THREADS=%s is no number from 1 to %d; using %d", text,
                   threads_max_limit, threads_max_default);
    return threads_max_default;
  }();
  return count;
}

/// The process's queue of jobs. All but `submitted` is guarded by `lock`.
struct job_queue {
  detail::short_lock lock;
  offload_job* head = nullptr;
  offload_job* tail = nullptr;
  int threads = 0;
  int idle = 0;
  int waiting_jobs = 0;
  std::atomic<unsigned> submitted{
      0};  ///< counts submissions: the futex on which idle threads sleep

  void push(offload_job& job) noexcept {
    job.next = nullptr;
    (tail ? tail->next : head) = &job;
    tail = &job;
    ++waiting_jobs;
  }
  offload_job* pop() noexcept {
    offload_job* first = head;
    if (!first) return nullptr;
    head = first->next;
    if (!head) tail = nullptr;
    --waiting_jobs;
    return first;
  }
  bool remove(offload_job& job) noexcept {
    offload_job* before = nullptr;
    for (offload_job* each = head; each; before = each, each = each->next) {
      if (each != &job) continue;
      (before ? before->next : head) = job.next;
      if (tail == &job) tail = before;
      --waiting_jobs;
      return true;
    }
    return false;
  }
};

job_queue jobs;

offload_job* next_job() noexcept {
  for (;;) {
    const unsigned seen = jobs.submitted.load(std::memory_order_acquire);
    jobs.lock.lock();
    offload_job* job = jobs.pop();
    if (!job) ++jobs.idle;
    jobs.lock.unlock();
    if (job) return job;
    kernel::futex_wait(&jobs.submitted, seen);
    jobs.lock.lock();
    --jobs.idle;
    jobs.lock.unlock();
  }
}

void* serve(void*) noexcept {
  pthread_setname_np(pthread_self(), "coir-offload");
  for (;;) {
    offload_job* job = next_job();
    job->run(*job);
  }
}

int start_thread() noexcept {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  const int error = pthread_create(&thread, nullptr, serve, nullptr);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (error == 0) pthread_detach(thread);
  return -error;
}

/// Takes back a job that nobody will serve. 0 when others serve it, or have.
int give_up(offload_job& job, int error) noexcept {
  std::lock_guard guard(jobs.lock);
  --jobs.threads;
  return jobs.threads == 0 && jobs.remove(job) ? error : 0;
}

/// In the child of a fork: the threads are not here.
void forget_threads() noexcept {
  jobs.head = jobs.tail = nullptr;
  jobs.threads = jobs.idle = jobs.waiting_jobs = 0;
}

const int registered = pthread_atfork([] { jobs.lock.lock(); }, [] { jobs.lock.unlock(); },
                                      [] {
                                        jobs.lock.unlock();
                                        forget_threads();
                                      });

}  // namespace

int submit_offload(offload_job& job) noexcept {
  (void)registered;
  jobs.lock.lock();
  jobs.push(job);
  const bool needs_thread = jobs.waiting_jobs > jobs.idle && jobs.threads < threads_max();
  if (needs_thread) ++jobs.threads;
  jobs.lock.unlock();
  jobs.submitted.fetch_add(1, std::memory_order_release);
  kernel::futex_wake(&jobs.submitted, 1);
  if (!needs_thread) return 0;
  const int error = start_thread();
  return error < 0 ? give_up(job, error) : 0;
}

namespace {

/// A job on the stack of the fiber that waits for it.
struct awaited_job final : offload_job {
  void (*work)(void*);
  void* argument;
  detail::control_block* waiter;
  std::atomic<bool> is_done{false};
};

void run_awaited(offload_job& job) noexcept {
  auto& own = static_cast<awaited_job&>(job);
  own.work(own.argument);
  detail::control_block& waiter = *own.waiter;
  // The last touch: the fiber may go on and leave its frame
  own.is_done.store(true, std::memory_order_release);
  detail::worker::wake(waiter);
}

}  // namespace

int run_offloaded_or_error(void (*work)(void*), void* argument) noexcept {
  detail::worker& w = *detail::worker::current_or_null();
  awaited_job job;
  job.run = run_awaited;
  job.work = work;
  job.argument = argument;
  job.waiter = w.running;
  const int error = submit_offload(job);
  if (error < 0) return error;
  while (!job.is_done.load(std::memory_order_acquire)) {
    w.park(detail::wait_reason::offload, detail::never, detail::interruptible::no);
  }
  return 0;
}

}  // namespace coir::io

void coir::detail::run_offloaded(void (*work)(void*), void* argument) {
  worker::current();
  const int error = io::run_offloaded_or_error(work, argument);
  if (error < 0) {
    throw std::system_error(
        -error, std::generic_category(),
        "coir: cannot start a thread for blocking work; raise ulimit -u or lower "
        "COIR_OFFLOAD_THREADS");
  }
}
