/// A queue of blocking work and the threads that do it: the process's own, and one for each
/// thread_pool.
#pragma once

#include <coir/detail/clock.hpp>
#include <coir/detail/offload_job.hpp>
#include <coir/detail/short_lock.hpp>
#include <coir/detail/wait_queue.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace coir::io {

using detail::offload_job;

/// The threads are started on demand, block all signals and know nothing of fibers: a job tells
/// whoever waits for it through that one's worker. A job may make its thread a worker all the same;
/// fibers that it leaves there are served to their end before the thread's next job. In the child
/// of a fork there are no threads and no jobs. Any thread may call any member.
class offload_threads {
 public:
  /// `thread_name`, of at most 15 characters, is what the system's tools show; it must outlive
  /// this. `forked(argument)` is called in the child of a fork, before it has a second thread.
  offload_threads(std::size_t threads_max, const char* thread_name,
                  void (*forked)(void*) noexcept = nullptr, void* argument = nullptr) noexcept;
  offload_threads(const offload_threads&) = delete;
  offload_threads& operator=(const offload_threads&) = delete;
  /// No thread may be left: end_threads() comes first.
  ~offload_threads();

  /// Queues `job`, starting a thread for it when all are busy and fewer run than allowed. 0, or
  /// -errno when not a single thread could be started; the job is then the caller's again. Never
  /// parks.
  int submit(offload_job& job) noexcept;
  /// Takes back a job that has not begun; false when it has. Never parks.
  bool take_back(offload_job& job) noexcept;

  /// How many threads there may be. More: starts some for the jobs that wait. Fewer: those too many
  /// end once their jobs are done. 0 or -errno as submit. Never parks.
  int set_threads_max(std::size_t count) noexcept;
  /// How long a thread waits for a job before it ends, in ns; `never` at the beginning. Holds for
  /// waits that begin afterwards. Never parks.
  void set_idle_max(std::int64_t ns) noexcept;
  /// How many threads there are now. Never parks.
  std::size_t threads() noexcept;
  /// True on one of these threads. Never parks.
  bool is_own_thread() const noexcept;

  /// Tells the threads to end once there is nothing left to do, and parks until none is left, the
  /// deadline, or, when `kind` allows it, an interruption.
  detail::wait_status end_threads(detail::deadline until, detail::interruptible kind);

 private:
  friend struct offload_fork;

  static void* serve(void* self) noexcept;
  offload_job* next_job() noexcept;
  void perform(offload_job& job) noexcept;
  void serve_fibers() noexcept;
  bool claim_thread() noexcept;
  int start_claimed() noexcept;
  void push(offload_job& job) noexcept;
  offload_job& pop() noexcept;
  bool remove(offload_job& job) noexcept;
  void leave() noexcept;
  void forget_all() noexcept;

  const char* const thread_name_;
  void (*const forked_)(void*) noexcept;
  void* const argument_;
  detail::short_lock lock_;
  offload_job* head_ = nullptr;  ///< guarded by lock_, as all that follows but the atomic
  offload_job* tail_ = nullptr;
  std::size_t jobs_ = 0;     ///< in the queue
  std::size_t threads_ = 0;  ///< also those that are just starting
  std::size_t idle_ = 0;     ///< of these, those without a job
  std::size_t threads_max_;
  std::size_t enders_ = 0;  ///< fibers in end_threads
  std::int64_t idle_max_ns_ = detail::never;
  detail::wait_queue end_;            ///< until there are no threads
  std::atomic<unsigned> changes_{0};  ///< what idle threads must see: the futex they sleep on
  offload_threads* next_ = nullptr;   ///< among all there are: guarded by the lock of that list
  offload_threads* prev_ = nullptr;
};

}  // namespace coir::io
