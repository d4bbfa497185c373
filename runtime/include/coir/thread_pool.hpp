/// Blocking work on threads of a pool's own: gevent.threadpool.ThreadPool.
#pragma once

#include <coir/basic_group.hpp>
#include <coir/detail/offload_job.hpp>
#include <coir/detail/owned.hpp>

#include <cstddef>

namespace coir {
namespace io {
class offload_threads;
}  // namespace io

namespace detail {

/// A task in the queue of a thread_pool.
struct thread_job : offload_job {
  io::offload_threads* threads = nullptr;
  task* work = nullptr;
  task::state outcome = task::state::waiting;  ///< between its run and its end
};

/// Takes a job back that no thread has begun; false when one has. Never parks.
COIR_API bool take_back_job(thread_job& job) noexcept;

/// A task of a thread_pool's own, with its membership and its place in the queue.
template <class Task>
class thread_task final : public Task {
 public:
  using Task::Task;
  membership seat;
  thread_job job;

 private:
  bool take_back() noexcept override { return take_back_job(job); }
};

}  // namespace detail

/// Runs functions on threads of its own, for what can only block: the fibers of the caller's thread
/// go on. It spawns, waits and maps as a pool does, and what spawn returns is used as a fiber's
/// handle: join, get, on several threads and from fibers alike. The differences:
///
/// - The function runs on a thread, outside any fiber of the caller's. It may use all of coir; its
///   thread becomes a worker with its first wait, and serves fibers that the function leaves behind
///   until they end.
/// - A kill drops a function that has not begun. One that runs cannot be ended from outside: a kill
///   waits for its end.
/// - Function and arguments are destroyed on the thread; the result lives as long as a handle.
///
/// Threads are started when there is work for them, up to the pool's size. In the child of a fork
/// the pool has no threads and no work, and starts anew. For single calls there is offload(), whose
/// few threads all share.
class COIR_API thread_pool : public basic_group<thread_pool> {
 public:
  /// At most `maxsize` threads, and no more functions at a time: a spawn waits while that many have
  /// not ended. With 0 all wait until set_maxsize(). Threads stay until the pool goes.
  explicit thread_pool(std::size_t maxsize);
  /// As above, but a thread that has had nothing to do for `idle_max` ends: gevent's
  /// idle_task_timeout.
  template <class Rep, class Period>
  thread_pool(std::size_t maxsize, std::chrono::duration<Rep, Period> idle_max)
      : thread_pool(maxsize) {
    set_idle_max(std::chrono::ceil<std::chrono::nanoseconds>(idle_max).count());
  }
  /// Parks until all work is done and the threads have ended. A kill of the waiting fiber is kept
  /// until then. Not from the pool's own threads.
  ~thread_pool();

  /// The bound given at construction, or set since; never parks.
  std::size_t maxsize() noexcept { return roster_.places(); }
  /// Changes it at once. More: work that waits begins. Fewer: threads end after what they are
  /// doing, and what no thread has begun waits. Throws std::system_error when no thread could be
  /// started for what waits. Never parks.
  void set_maxsize(std::size_t maxsize);
  /// How many threads there are now; never parks.
  std::size_t size() noexcept;
  /// How many functions that were spawned have not ended; never parks.
  std::size_t unfinished() noexcept { return roster_.size(); }

  /// Drops all work that has not begun: it ends as a killed fiber does. With `wait`, parks until
  /// the work that runs is done and all threads have ended. The pool may be used again. Throws
  /// fiber_exit when the caller is killed meanwhile, std::logic_error when one of the pool's own
  /// threads would wait for itself.
  void kill(bool wait = true);
  /// As kill, but waits for no longer than `timeout`; true when all threads have ended.
  template <class Rep, class Period>
  bool kill_for(std::chrono::duration<Rep, Period> timeout) {
    return kill_until(detail::deadline_after(timeout));
  }

 private:
  friend class basic_group<thread_pool>;
  template <class Task>
  using task_for = detail::thread_task<Task>;

  template <class Task>
  void start_task(Task& t, const attributes& how, const void*) {
    submit(t, t.job, how);
  }
  void submit(detail::task& t, detail::thread_job& job, const attributes& how);
  bool is_own_caller() const noexcept;
  bool kill_until(detail::deadline until);
  void set_idle_max(std::int64_t ns) noexcept;

  detail::owned<io::offload_threads> threads_;
};

}  // namespace coir
