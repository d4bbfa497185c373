/// The signal mask of ppoll, pselect and epoll_pwait.
///
/// Such a call lets signals in that the program otherwise blocks, and fails with EINTR when one
/// arrives. The mask belongs to the thread, on which other fibers run while this one waits, so it
/// is not set meanwhile. The signals that the mask would let in stay blocked, and a signalfd that
/// waits along with the call's own descriptors tells when one is pending. Only then is the mask
/// set, for an instant without a park in it: the handler runs, and the call fails with EINTR. What
/// the mask would block in addition is not blocked: such a signal is handled during the wait,
/// unseen.
///
/// A thread of the preload library is a fiber with a mask of its own: there the mask is simply set.
///
/// Rejected: to set the mask around the wait. Other fibers would run with it, and two such calls
/// that overlap would restore each other's masks in the wrong order.
#pragma once

#include <signal.h>

namespace coir::hooks {

/// Lives on the stack of the waiting fiber, for one call.
class signal_window {
 public:
  /// Opens when `mask` (null: none) lets a signal in that this thread blocks.
  explicit signal_window(const sigset_t* mask) noexcept;
  ~signal_window();
  signal_window(const signal_window&) = delete;
  signal_window& operator=(const signal_window&) = delete;

  /// False when the call can wait as if it had no mask.
  bool is_open() const noexcept { return fd_ >= 0; }
  /// 0, or -errno when the window could not be opened; the call then fails with it.
  int error() const noexcept { return error_; }
  /// Readable while a signal of the window is pending.
  int fd() const noexcept { return fd_; }
  /// Lets the pending signals be handled; returns -EINTR. Never parks.
  int deliver() const noexcept;

 private:
  const sigset_t* mask_;
  sigset_t usual_;  ///< of a thread of the preload library, which has another meanwhile
  bool is_exchanged_ = false;
  int fd_ = -1;
  int error_ = 0;
};

}  // namespace coir::hooks
