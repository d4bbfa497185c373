// Signals: handlers, masks and waits of threads that are fibers; see hooks/threads/signals.hpp.
#include "hooks/preload/preload.hpp"
#include "hooks/threads/descriptors.hpp"
#include "hooks/threads/signals.hpp"
#include "hooks/threads/thread.hpp"
#include "hooks/threads/vfork_child.hpp"
#include "hooks/time_limit.hpp"
#include "runtime/kernel/calls.hpp"

#include <cstring>

#include <setjmp.h>
#include <signal.h>
#include <sys/signalfd.h>

COIR_DEFINE_REAL(pthread_kill);
COIR_DEFINE_REAL(pthread_sigqueue);
COIR_DEFINE_REAL(pthread_sigmask);
COIR_DEFINE_REAL(sigaction);
COIR_DEFINE_REAL(sigsuspend);
COIR_DEFINE_REAL(pause);
COIR_DEFINE_REAL(sigwait);
COIR_DEFINE_REAL(sigwaitinfo);
COIR_DEFINE_REAL(sigtimedwait);
COIR_DEFINE_REAL(sigpending);
COIR_DEFINE_REAL(sigaltstack);
COIR_DEFINE_REAL(raise);
COIR_DEFINE_REAL(longjmp);
COIR_DEFINE_REAL(siglongjmp);

using namespace coir;
using namespace coir::hooks;
using threads::bit_of;
using threads::kernel_action;
using threads::signal_set;
using threads::thread_fiber;

namespace {

signal_set bits_of(const sigset_t& set) noexcept {
  signal_set bits;
  std::memcpy(&bits, &set, sizeof bits);
  return bits;
}

void store_bits(signal_set bits, sigset_t& set) noexcept {
  std::memset(&set, 0, sizeof set);
  std::memcpy(&set, &bits, sizeof bits);
}

constexpr unsigned long flag_restorer = 0x04000000;
constexpr std::size_t signal_stack_min = 2048;  // MINSIGSTKSZ as it always was

kernel_action to_kernel(const struct sigaction& action) noexcept {
  kernel_action k;
  k.handler = action.sa_handler;
  k.flags = static_cast<unsigned>(action.sa_flags);
  k.mask = bits_of(action.sa_mask);
  return k;
}

void from_kernel(const kernel_action& k, struct sigaction& action) noexcept {
  action.sa_handler = k.handler;
  action.sa_flags = static_cast<int>(k.flags & ~flag_restorer);
  store_bits(k.mask, action.sa_mask);
}

/// True when the caller runs on the stack.
bool is_on(const stack_t& stack) noexcept {
  const auto place = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  const auto start = reinterpret_cast<std::uintptr_t>(stack.ss_sp);
  return stack.ss_sp && !(stack.ss_flags & SS_DISABLE) && place >= start &&
         place < start + stack.ss_size;
}

/// signal(3) and its kin in terms of sigaction.
sighandler_t set_handler(int signal, sighandler_t handler, int flags) noexcept {
  struct sigaction next {};
  struct sigaction before {};
  next.sa_handler = handler;
  next.sa_flags = flags;
  if (!(flags & static_cast<int>(SA_RESETHAND))) sigaddset(&next.sa_mask, signal);
  if (::sigaction(signal, &next, &before) != 0) return SIG_ERR;
  return before.sa_handler;
}

/// Parks until a handler has run, with `blocked` as the mask meanwhile.
int wait_for_handler(thread_fiber& self, signal_set blocked) {
  const signal_set usual = self.blocked;
  const threads::handler_watch watch(self);
  threads::prepare_to_park(self, true);
  // Inside the runtime section no handler runs until the fiber is parked.
  threads::exchange_mask(self, blocked);
  threads::wake_cause cause = threads::park(self, detail::never);
  while (cause == threads::wake_cause::woken || cause == threads::wake_cause::timed_out) {
    threads::prepare_to_park(self, true);
    cause = threads::park(self, detail::never);
  }
  threads::set_signal_mask(self, usual);
  return cause == threads::wake_cause::cancelled ? -ECANCELED : -EINTR;
}

/// One of `set`, which the caller blocks; the signal, or -errno.
int wait_for_signal(thread_fiber& self, const sigset_t& set, siginfo_t* info,
                    threads::deadline until) {
  const signal_set wanted = bits_of(set);
  int watch = -1;
  int result = 0;
  for (;;) {
    siginfo_t found{};
    result = threads::take_signal(self, wanted, &found);
    if (result == 0) {
      const timespec at_once{0, 0};
      result = static_cast<int>(
          kernel::call(SYS_rt_sigtimedwait, &wanted, &found, &at_once, sizeof wanted));
    }
    if (result > 0) {
      if (info) *info = found;
      break;
    }
    if (result != -EAGAIN || has_passed(until)) break;
    if (watch < 0)
      watch =
          static_cast<int>(kernel::call(SYS_signalfd4, -1, &wanted, sizeof wanted, SFD_CLOEXEC));
    if (watch < 0) {
      result = watch;
      break;
    }
    result = threads::await_descriptor(watch, POLLIN, until);
    if (result == -ERESTART) result = -EINTR;
    if (result == -EINTR || result == -ECANCELED) break;
  }
  if (watch >= 0) kernel::close(watch);
  return result;
}

bool is_vfork_child() noexcept {
  const thread_fiber* const self = threads::current();
  return self && threads::is_vfork_child(*self);
}

}  // namespace

/// hook: signals: sets a handler, which runs on the fiber whose signal it is
COIR_HOOK int sigaction(int signal, const struct sigaction* next,
                        struct sigaction* before) noexcept {
  if (!threads::manages_handlers() || is_vfork_child())
    return real::sigaction(signal, next, before);
  kernel_action old;
  const kernel_action wanted = next ? to_kernel(*next) : kernel_action{};
  const int error = threads::change_action(signal, next ? &wanted : nullptr, &old);
  if (error < 0) return finish(error);
  if (before) from_kernel(old, *before);
  return 0;
}
COIR_HOOK int __sigaction(int, const struct sigaction*, struct sigaction*) noexcept
    COIR_HOOK_ALIAS(sigaction);

/// hook: signals: sets a handler
COIR_HOOK sighandler_t signal(int signal, sighandler_t handler) noexcept {
  return set_handler(signal, handler, SA_RESTART);
}
COIR_HOOK sighandler_t bsd_signal(int, sighandler_t) noexcept COIR_HOOK_ALIAS(signal);
COIR_HOOK sighandler_t ssignal(int, sighandler_t) noexcept COIR_HOOK_ALIAS(signal);

/// hook: signals: sets a handler for one signal
COIR_HOOK sighandler_t sysv_signal(int signal, sighandler_t handler) noexcept {
  return set_handler(signal, handler, static_cast<int>(SA_RESETHAND | SA_NODEFER));
}
COIR_HOOK sighandler_t __sysv_signal(int, sighandler_t) noexcept COIR_HOOK_ALIAS(sysv_signal);

/// hook: signals: chooses whether a handler ends calls
COIR_HOOK int siginterrupt(int signal, int interrupts) noexcept {
  struct sigaction action {};
  if (::sigaction(signal, nullptr, &action) != 0) return -1;
  action.sa_flags = interrupts ? action.sa_flags & ~SA_RESTART : action.sa_flags | SA_RESTART;
  return ::sigaction(signal, &action, nullptr);
}

/// hook: signals: changes the mask of the fiber
COIR_HOOK int pthread_sigmask(int how, const sigset_t* set, sigset_t* before) noexcept {
  thread_fiber* const self = recorded_fiber();
  if (!self) return real::pthread_sigmask(how, set, before);
  const signal_set old = self->blocked;
  if (set) {
    const signal_set given = bits_of(*set);
    switch (how) {
      case SIG_BLOCK:
        threads::set_signal_mask(*self, old | given);
        break;
      case SIG_UNBLOCK:
        threads::set_signal_mask(*self, old & ~given);
        break;
      case SIG_SETMASK:
        threads::set_signal_mask(*self, given);
        break;
      default:
        return EINVAL;
    }
  }
  if (before) store_bits(old, *before);
  return 0;
}

/// hook: signals: changes the mask of the fiber
COIR_HOOK int sigprocmask(int how, const sigset_t* set, sigset_t* before) noexcept {
  return finish(-::pthread_sigmask(how, set, before));
}

/// hook: signals: sends a signal to a fiber
COIR_HOOK int pthread_kill(pthread_t handle, int signal) noexcept {
  thread_fiber* const thread = threads::find_thread(handle);
  if (!thread || is_vfork_child()) return real::pthread_kill(handle, signal);
  if (signal < 0 || signal > threads::signals_max) return EINVAL;
  // Its handle is good until it is joined, and libc (2.34 on) takes the signal and drops it.
  if (thread->ending.load(std::memory_order_relaxed) & threads::has_finished) return 0;
  return threads::send_signal(*thread, signal);
}

/// hook: signals: sends a signal with a value to a fiber
COIR_HOOK int pthread_sigqueue(pthread_t handle, int signal, const sigval value) noexcept {
  thread_fiber* const thread = threads::find_thread(handle);
  if (!thread || is_vfork_child()) return real::pthread_sigqueue(handle, signal, value);
  return threads::send_signal(*thread, signal, &value);
}

/// hook: signals: sends a signal to the fiber itself
COIR_HOOK int raise(int signal) noexcept {
  thread_fiber* const self = recorded_fiber();
  if (!self) return real::raise(signal);
  return finish(-threads::send_signal(*self, signal));
}

/// hook: signals: what waits for the fiber and for the process
COIR_HOOK int sigpending(sigset_t* set) noexcept {
  thread_fiber* const self = recorded_fiber();
  const int result = real::sigpending(set);
  if (result == 0 && self) store_bits(bits_of(*set) | threads::pending_signals(*self), *set);
  return result;
}

/// hook: signals: parks until a handler has run
COIR_HOOK int pause() {
  thread_fiber* const self = parking_fiber(family::signal);
  if (!self) return real::pause();
  return finish(wait_for_handler(*self, self->blocked));
}

/// hook: signals: parks until a handler has run, with a mask of its own
COIR_HOOK int sigsuspend(const sigset_t* mask) {
  thread_fiber* const self = parking_fiber(family::signal);
  if (!self) return real::sigsuspend(mask);
  return finish(wait_for_handler(*self, bits_of(*mask)));
}

/// hook: signals: parks until one of the signals comes
COIR_HOOK int sigwaitinfo(const sigset_t* set, siginfo_t* info) {
  thread_fiber* const self = parking_fiber(family::signal);
  if (!self) return real::sigwaitinfo(set, info);
  return finish(wait_for_signal(*self, *set, info, detail::never));
}

/// hook: signals: the same with a time limit
COIR_HOOK int sigtimedwait(const sigset_t* set, siginfo_t* info, const timespec* limit) {
  thread_fiber* const self = parking_fiber(family::signal);
  if (!self) return real::sigtimedwait(set, info, limit);
  if (limit && !is_valid(*limit)) return finish(-EINVAL);
  const int result = wait_for_signal(*self, *set, info, deadline_in(limit));
  return finish(result == -ETIMEDOUT ? -EAGAIN : result);
}

/// hook: signals: parks until one of the signals comes
COIR_HOOK int sigwait(const sigset_t* set, int* signal) {
  thread_fiber* const self = parking_fiber(family::signal);
  if (!self) return real::sigwait(set, signal);
  int result;
  do {
    result = wait_for_signal(*self, *set, nullptr, detail::never);
  } while (result == -EINTR);
  if (result == -ECANCELED) ::pthread_testcancel();
  if (result < 0) return -result;
  *signal = result;
  return 0;
}

/// hook: signals: remembered; handlers that ask for it run on a stack of the kernel thread's
COIR_HOOK int sigaltstack(const stack_t* next, stack_t* before) noexcept {
  thread_fiber* const self = recorded_fiber();
  if (!self) return real::sigaltstack(next, before);
  const stack_t old = self->signal_stack;
  if (next) {
    if (is_on(old)) return finish(-EPERM);
    if (next->ss_flags & ~(SS_DISABLE | (1 << 31))) return finish(-EINVAL);
    if (!(next->ss_flags & SS_DISABLE) && next->ss_size < signal_stack_min) return finish(-ENOMEM);
    self->signal_stack = *next;
  }
  if (before) {
    *before = old;
    before->ss_flags = old.ss_sp ? old.ss_flags : SS_DISABLE;
    if (is_on(old)) before->ss_flags = SS_ONSTACK;
  }
  return 0;
}

// A jump out of a handler ends it. The real ones set the kernel's mask behind our back.
/// hook: signals: ends the handlers that it leaves
COIR_HOOK void siglongjmp(sigjmp_buf target, int value) noexcept {
  if (thread_fiber* const self = threads::current()) {
    self->handler_depth = 0;
    if (target[0].__mask_was_saved) {
      sigset_t saved;
      std::memcpy(&saved, &target[0].__saved_mask, sizeof saved);
      threads::set_signal_mask(*self, bits_of(saved));
    }
  }
  real::siglongjmp(target, value);
  __builtin_unreachable();
}
COIR_HOOK void __longjmp_chk(sigjmp_buf, int) noexcept COIR_HOOK_ALIAS(siglongjmp)
    __attribute__((noreturn));
COIR_HOOK void longjmp(jmp_buf, int) noexcept COIR_HOOK_ALIAS(siglongjmp);
COIR_HOOK void _longjmp(jmp_buf, int) noexcept COIR_HOOK_ALIAS(siglongjmp);
