/// Signals for threads that are fibers.
///
/// The kernel knows carriers only. So once the runtime is on it calls our handler, which decides
/// whose signal it is and runs the program's handler there:
///   a fault, or a signal that the running fiber sent itself:  here
///   one for the process: the main thread if that does not block it, as the kernel prefers it too,
///     else the running fiber, else any other that does not block it
/// A handler for the fiber that runs here is called at once, unless the runtime is at work (here.critical):
/// then at the end of that section. For a fiber elsewhere the signal is noted in `pending` and the
/// fiber is woken, or its carrier interrupted; it runs the handler in its own context, and the wait
/// that it was in ends as the flags of the handler say.
///
/// Masks are kept per fiber. A carrier takes over the mask of the fiber that it switches to, if it
/// has another; the poller sleeps with what all fibers block, idle carriers with everything
/// blocked. So a signal that all block stays pending in the kernel, for sigwait and signalfd.
///
/// Inside a handler that interrupted a fiber the hooks make plain calls (handler_depth): the fiber
/// must not leave the stack of the kernel's signal frame.
///
/// What differs from the kernel's threads: several real-time signals of one number that were sent to
/// the process, and come while the runtime is at work, become one; the handler's third argument
/// does not describe the registers when the thread was parked.
#pragma once

#include "hooks/threads/scheduler.hpp"

#include <csignal>

namespace coir::threads {

using signal_set = std::uint64_t;
inline constexpr int signals_max = 64;
inline constexpr signal_set bit_of(int signal) noexcept { return signal_set{1} << (signal - 1); }

/// The kernel's struct sigaction.
struct kernel_action {
  void (*handler)(int) = nullptr;
  unsigned long flags = 0;
  void (*restorer)() = nullptr;
  signal_set mask = 0;
};

// --- start ----------------------------------------------------------------------------------------

/// Takes over the handlers that the program has set. False when memory cannot be wiped on fork.
bool start_signals() noexcept;
/// Gives the calling carrier an alternate stack, on which handlers of stack overflows can run.
void prepare_signal_stack(carrier& c) noexcept;

// --- for the scheduler ----------------------------------------------------------------------------

/// True when a signal that the fiber does not block waits for it.
inline bool has_signal(const thread_fiber& fiber) noexcept {
  return (fiber.pending.load(std::memory_order_relaxed) & ~fiber.blocked) != 0;
}
/// Runs the handlers of such signals, on the fiber itself.
void run_pending_handlers_now(thread_fiber& self) noexcept;
inline void run_pending_handlers(thread_fiber& self) noexcept {
  if (__builtin_expect(has_signal(self), false)) run_pending_handlers_now(self);
}
/// Sets the calling kernel thread's mask; `old` may be null.
void set_kernel_mask(signal_set mask, signal_set* old) noexcept;
/// After libc's handler of cancellations has unwound the running fiber out of a signal frame of the
/// kernel: that leaves the signal blocked, and the carrier deaf to the next cancellation.
inline void unblock_after_unwinding(carrier& c) noexcept {
  enter_runtime();
  set_kernel_mask(c.kernel_mask, nullptr);
  leave_runtime();
}
/// Before `next` runs on `c`, the carrier of the caller.
inline void adopt_signal_mask(carrier& c, const thread_fiber& next) noexcept {
  if (__builtin_expect(c.kernel_mask == next.blocked, true)) return;
  c.kernel_mask = next.blocked;
  set_kernel_mask(next.blocked, nullptr);
}
/// Before an idle carrier sleeps.
void block_all_signals(carrier& c) noexcept;
/// What every fiber blocks.
signal_set mask_of_poller() noexcept;
/// Signals for the process that came where they could not be passed on.
bool has_process_signals() noexcept;
/// Passes them on. Not in a signal handler.
void route_process_signals() noexcept;
/// A fiber with this mask begins (+1) or ends (-1).
void count_mask(signal_set blocked, int change) noexcept;

// --- for the hooks --------------------------------------------------------------------------------

/// True once handlers of the program are called by way of ours, in this process or in the one that
/// it was forked from.
bool manages_handlers() noexcept;
/// Changes the mask of the running fiber without looking for signals that it lets in.
void exchange_mask(thread_fiber& self, signal_set blocked) noexcept;
/// The same, and runs their handlers.
void set_signal_mask(thread_fiber& self, signal_set blocked) noexcept;
/// Sends a signal to a fiber. 0 or a positive errno.
int send_signal(thread_fiber& fiber, int signal, const sigval* value = nullptr) noexcept;
/// Makes a fiber that was cancelled notice it, in a park of ours or in a call of libc's.
void interrupt_for_cancellation(thread_fiber& fiber) noexcept;
/// Signals that wait for the fiber, or for the process, with us.
signal_set pending_signals(const thread_fiber& self) noexcept;
/// What the program has set for a signal; as sigaction(2) for it. 0 or -errno.
int change_action(int signal, const kernel_action* next, kernel_action* old) noexcept;
/// Takes one of `set` that waits for the fiber or for the process; 0 when there is none.
int take_signal(thread_fiber& self, signal_set set, siginfo_t* info) noexcept;

}  // namespace coir::threads
