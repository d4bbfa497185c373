/// The one way in which a fiber waits for the kernel, and the loop around it: try, await readiness,
/// try again.
#pragma once

#include "runtime/io/io.hpp"
#include "runtime/io/thread_scheduler.hpp"
#include "runtime/sched/worker.hpp"

#include <cerrno>

namespace coir::io {

/// One cooperative call on a descriptor: how long its caller still waits. With POSIX manners the
/// descriptor is asked, once, when the call would block for the first time.
class patience {
 public:
  patience(int fd, wait_mode mode) noexcept : threads_(threads_of_caller()), fd_(fd), mode_(mode) {}
  patience(const patience&) = delete;
  patience& operator=(const patience&) = delete;
  ~patience() {
    if (owns_duplicate_) close_duplicate();
  }

  /// The descriptor of the call. To a thread that waits in a call, a close by another thread does
  /// not matter: from then on this is a duplicate.
  int fd() const noexcept { return fd_; }

  /// To be called before a wait; -EAGAIN when the descriptor is O_NONBLOCK.
  int before_wait(short events) noexcept {
    return mode_.posix && !is_asked_ ? ask_descriptor(events) : 0;
  }
  /// The one whose thread makes the call; null on a worker.
  thread_scheduler* threads() const noexcept { return threads_; }
  /// Waits as one of threads(), once; 0 or -errno.
  int await_as_thread(short events) noexcept;

  /// True when it is known that a read of this stream would have to wait. See thread_scheduler.
  bool is_dry() const noexcept { return threads_ && threads_->is_dry(fd_); }
  /// A read of this stream got less than it asked for.
  void note_dry() const noexcept {
    if (threads_) threads_->note_dry(fd_);
  }
  detail::deadline until() const noexcept { return mode_.until; }
  /// A handler with SA_RESTART does not end the call: none does that has a time limit, signal(7).
  bool restarts() const noexcept { return mode_.restarts && mode_.until == detail::never; }
  /// The error of a wait that the deadline ended.
  int timeout_error() const noexcept { return timeout_error_; }

 private:
  int ask_descriptor(short events) noexcept;
  /// Takes over what SO_RCVTIMEO or SO_SNDTIMEO says.
  bool has_time_limit(short events) noexcept;
  void close_duplicate() noexcept;

  thread_scheduler* threads_;
  int fd_;
  wait_mode mode_;
  bool owns_duplicate_ = false;
  bool is_asked_ = false;
  int timeout_error_ = -ETIMEDOUT;
};

/// Parks until the reactor has completed `op`, whose fields are set; returns its result, -ETIMEDOUT
/// or -ECANCELED. When the kernel owns its buffer, stays parked after those until the kernel has
/// let go of it; a result that came first is returned. -EOPNOTSUPP: this reactor does not perform
/// it.
std::int64_t await(detail::operation& op, detail::deadline until) noexcept;

/// Parks until the descriptor has one of `events` or an error; 0 or -errno.
int await_ready(short events, patience& left) noexcept;

/// Parks for a millisecond, for what gives no notice; 0, -ECANCELED, -EBADF when the descriptor was
/// closed meanwhile, or the error of a deadline that has passed.
int pause(const patience& left) noexcept;

/// To be called after each call that did not have to wait: the fairness budget.
void count_call() noexcept;

/// Calls `attempt(fd)` until it does not say -EAGAIN, awaiting `events` in between. Some
/// descriptors call themselves ready when they are not (a unix datagram socket whose receiver's
/// queue is full): after several such answers it looks again only now and then.
template <class Attempt>
ssize_t cooperate(short events, patience& left, Attempt attempt) noexcept {
  constexpr int answers_believed = 8;  // rivals for one descriptor cause some, too
  for (int answers = 0;; ++answers) {
    const ssize_t result = attempt(left.fd());
    if (result != -EAGAIN) {
      count_call();
      return result;
    }
    if (const int error = await_ready(events, left); error < 0) return error;
    if (answers < answers_believed) continue;
    if (const int error = pause(left); error < 0) return error;
  }
}

/// The same for a call that consists of one attempt.
template <class Attempt>
ssize_t cooperate(int fd, short events, wait_mode mode, Attempt attempt) noexcept {
  patience left(fd, mode);
  return cooperate(events, left, attempt);
}

}  // namespace coir::io
