#include "hooks/threads/signals.hpp"

#include "hooks/threads/signal_routing.hpp"
#include "hooks/threads/state.hpp"
#include "hooks/threads/vfork_child.hpp"
#include "runtime/kernel/calls.hpp"

#include <cerrno>

#include <unistd.h>

namespace coir::threads {
namespace {

bool is_fault(int signal, const siginfo_t& info) noexcept {
  const bool is_kind = signal == SIGSEGV || signal == SIGBUS || signal == SIGFPE ||
                       signal == SIGILL || signal == SIGTRAP || signal == SIGSYS;
  return is_kind && info.si_code > 0;
}

/// Sent to one thread, not to the process. SIGPIPE belongs to the writer although it does not say.
bool is_for_thread(int signal, const siginfo_t& info) noexcept {
  return signal == SIGPIPE || info.si_code == SI_TKILL || is_fault(signal, info);
}

/// What the kernel calls for every signal that the program handles.
void on_signal(int signal, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  thread_fiber* const self = here.self;
  if (!sched->is_on.load(std::memory_order_relaxed) || !self || is_vfork_child(*self)) {
    // A native thread, a child that has not started, or one of a vfork: as without us.
    if (!self && here.critical > 0 && !is_fault(signal, *info)) {
      note_info(*info);
      here.deferred_here.fetch_or(bit_of(signal), std::memory_order_relaxed);
      here.has_deferred_signals = true;
    } else {
      run_natively(signal, info, context);
    }
    errno = saved_errno;
    return;
  }
  const bool is_only_poke = is_poke(*info);
  const bool may_run_here = !self->is_hub && here.critical == 0;
  if (is_fault(signal, *info)) {
    run_here(*self, signal, info, context);
  } else if (is_only_poke || is_for_thread(signal, *info)) {
    if (self->is_hub) return;  // a poke that came too late: its fiber has seen it
    const signal_set waiting = self->pending.load(std::memory_order_relaxed);
    if (is_only_poke && !(waiting & bit_of(signal))) return;
    if (may_run_here && accepts(*self, signal)) {
      siginfo_t own = *info;
      // Another look, for the fiber may be taking it at this moment.
      if (is_only_poke && !take_pending(*self, signal, own)) return;
      run_here(*self, signal, &own, context);
      run_pending_handlers(*self);
    } else {
      if (!is_only_poke) note_info(*info);
      self->pending.fetch_or(bit_of(signal), std::memory_order_relaxed);
      here.has_deferred_signals = true;
    }
  } else if (may_run_here &&
             (accepts(main_thread, signal) ? self == &main_thread : accepts(*self, signal))) {
    run_here(*self, signal, info, context);
  } else {
    note_for_process(*info);
    if (may_run_here) deliver_deferred_signals();
  }
  errno = saved_errno;
}

}  // namespace

bool start_signals() noexcept {
  if (!start_signal_masks() || !start_signal_queue() || !prepare_actions(&on_signal)) return false;
  kernel::call(SYS_rt_sigprocmask, SIG_BLOCK, nullptr, &main_thread.blocked, sizeof(signal_set));
  count_mask(main_thread.blocked, 1);
  take_over_all();
  return true;
}

int send_signal(thread_fiber& fiber, int signal, const sigval* value) noexcept {
  if (signal < 0 || signal > signals_max) return EINVAL;
  if (signal == 0) return 0;
  const kernel_action action = action_of(signal);
  if (!is_taken_over(signal) || !is_function(action.handler)) {
    if ((fiber.blocked & bit_of(signal)) == 0) return take_default_action(signal);
  }
  siginfo_t info{};
  info.si_signo = signal;
  info.si_code = SI_TKILL;
  info.si_pid = ::getpid();
  info.si_uid = ::getuid();
  if (value) {
    info.si_code = SI_QUEUE;
    info.si_value = *value;
  }
  note_info(info);
  if (!add_pending(fiber, info)) return EAGAIN;
  if (&fiber == here.self) {
    run_pending_handlers(fiber);
  } else {
    poke(fiber, signal);
  }
  return 0;
}

}  // namespace coir::threads
