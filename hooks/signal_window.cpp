#include "hooks/signal_window.hpp"

#include "runtime/io/thread_scheduler.hpp"
#include "runtime/kernel/syscall.hpp"

#include <cerrno>

#include <pthread.h>
#include <sys/signalfd.h>

namespace coir::hooks {
namespace {

/// The signals that this thread blocks and `mask` does not; false when there are none.
bool find_let_in(const sigset_t& mask, sigset_t& let_in) noexcept {
  sigset_t blocked;
  pthread_sigmask(SIG_BLOCK, nullptr, &blocked);
  sigemptyset(&let_in);
  bool is_any = false;
  for (int signal = 1; signal < _NSIG; ++signal) {
    if (sigismember(&blocked, signal) != 1 || sigismember(&mask, signal) == 1) continue;
    sigaddset(&let_in, signal);
    is_any = true;
  }
  return is_any;
}

}  // namespace

signal_window::signal_window(const sigset_t* mask) noexcept : mask_(mask) {
  sigset_t let_in;
  if (!mask) return;
  if (io::thread_scheduler* const threads = io::threads_of_caller()) {
    is_exchanged_ = true;
    if (threads->open_mask_window(*mask, usual_)) error_ = -EINTR;
    return;
  }
  if (!find_let_in(*mask, let_in)) return;
  fd_ = signalfd(-1, &let_in, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd_ < 0) error_ = -errno;
}

signal_window::~signal_window() {
  if (is_exchanged_) {
    if (io::thread_scheduler* const threads = io::threads_of_caller())
      threads->close_mask_window(usual_);
  }
  if (fd_ >= 0)
    kernel::call(SYS_close, fd_);  // nobody else knows the descriptor, so nobody waits for it
}

int signal_window::deliver() const noexcept {
  sigset_t usual;
  pthread_sigmask(SIG_SETMASK, mask_, &usual);
  pthread_sigmask(SIG_SETMASK, &usual, nullptr);
  return -EINTR;
}

}  // namespace coir::hooks
