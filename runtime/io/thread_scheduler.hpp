/// The second scheduler: threads of a program that coir did not write, which are fibers to coir and
/// threads to the program.
///
/// The cooperative calls ask it instead of a worker when a thread of it makes the call. What it
/// does otherwise than a worker: a signal handler ends a wait (EINTR), pthread_cancel ends the
/// thread, and a call that blocks by nature simply blocks, on a kernel thread that is given up for
/// it. The preload library brings the one implementation (hooks/threads).
#pragma once

#include <coir/detail/clock.hpp>
#include <coir/export.hpp>

#include <csignal>

#include <poll.h>

namespace coir::io {

class COIR_API thread_scheduler {
 public:
  virtual ~thread_scheduler() = default;

  /// True when the caller is one of its threads and may park: not on kernel threads of others, not
  /// in a signal handler that interrupted it.
  virtual bool may_park() noexcept = 0;
  /// Parks until `fd` has one of `events` or an error: 0, perhaps without a cause. -ETIMEDOUT;
  /// -EINTR after a signal handler, -ERESTART when all that ran have SA_RESTART; -ECANCELED by
  /// pthread_cancel. When the descriptor is closed meanwhile, a duplicate replaces it, which the
  /// caller must close.
  virtual int await_ready(int& fd, short events, detail::deadline until) noexcept = 0;
  /// The same for any of several, of which those below 0 are skipped.
  virtual int await_any(const pollfd* fds, nfds_t count, detail::deadline until) noexcept = 0;
  /// 0, -EINTR or -ECANCELED.
  virtual int sleep_until(detail::deadline until) noexcept = 0;
  virtual void yield() noexcept = 0;
  /// To be called after each call that did not have to wait: gives the others a turn after a time.
  virtual void count_call() noexcept = 0;
  /// Notes on descriptor numbers, which save system calls. A plain stream is a socket of which a
  /// wait has found out that it is a stream, in blocking mode, and without time limits; dry is one
  /// whose last read got less than it asked for, so that the next must wait.
  virtual bool is_plain_stream(int fd) noexcept = 0;
  virtual void note_plain_stream(int fd) noexcept = 0;
  virtual bool is_dry(int fd) noexcept = 0;
  virtual void note_dry(int fd) noexcept = 0;
  /// The number means another file from now on, or its mode has changed.
  virtual void forget_notes(int fd) noexcept = 0;
  /// Around a call that blocks: others run on other kernel threads meanwhile.
  virtual void begin_blocking() noexcept = 0;
  virtual void end_blocking() noexcept = 0;
  /// To be called before a descriptor is closed or replaced, by any thread of the process.
  virtual void before_close(int fd) noexcept = 0;
  /// The lowest descriptor from `first` to `last` that is the scheduler's own, which the program
  /// neither sees nor closes; -1 when there is none. Any thread.
  virtual int hidden_descriptor(unsigned first, unsigned last) noexcept = 0;
  /// Gives the caller another signal mask for one call, and `old` the one it had. Until close,
  /// every wait ends with -EINTR once a handler has run. True when one ran at once.
  virtual bool open_mask_window(const sigset_t& mask, sigset_t& old) noexcept = 0;
  virtual void close_mask_window(const sigset_t& old) noexcept = 0;
  /// Ends the thread, by unwinding, when pthread_cancel was called for it and it allows that.
  virtual void test_cancel() = 0;
};

/// Makes `scheduler` the one that is asked, for good. Before any thread can be one of its.
COIR_API void use_thread_scheduler(thread_scheduler& scheduler) noexcept;

/// The one that is registered; null without one. Any thread.
COIR_API thread_scheduler* registered_threads() noexcept;
/// The one whose thread the caller is; null on workers and on threads that do not park.
COIR_API thread_scheduler* threads_of_caller() noexcept;

/// Runs `call`, which blocks, so that other threads of the program run meanwhile.
template <class Call>
auto call_blocking(thread_scheduler& threads, Call call) noexcept -> decltype(call()) {
  threads.begin_blocking();
  const auto result = call();
  threads.end_blocking();
  return result;
}

}  // namespace coir::io
