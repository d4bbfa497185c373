/// Running the program's handlers on the fiber whose signal it is: in the kernel's signal frame, or
/// outside of any at the end of a park or of a runtime section.
#pragma once

#include "hooks/threads/signal_actions.hpp"
#include "hooks/threads/signal_set.hpp"
#include "hooks/threads/thread_fiber.hpp"

#include <csignal>

namespace coir::threads {

/// True when a signal that the fiber does not block waits for it.
inline bool has_signal(const thread_fiber& fiber) noexcept {
  return (fiber.pending.load(std::memory_order_relaxed) & ~fiber.blocked) != 0;
}

/// Runs the handlers of such signals, on the fiber itself.
void run_pending_handlers_now(thread_fiber& self) noexcept;
inline void run_pending_handlers(thread_fiber& self) noexcept {
  if (__builtin_expect(has_signal(self), false)) run_pending_handlers_now(self);
}

/// Changes the mask of the running fiber, and runs the handlers of the signals that it lets in.
void set_signal_mask(thread_fiber& self, signal_set blocked) noexcept;

/// In the kernel's signal frame, on the fiber whose signal it is.
void run_here(thread_fiber& self, int signal, siginfo_t* info, void* context);
/// For a signal that the program does not handle: its default action is the whole process's, so any
/// kernel thread may take it that lets it in. The caller's does, at once; another one might sleep
/// with everything blocked. 0 or a positive errno.
int take_default_action(int signal) noexcept;
/// As without the runtime: on a native thread, and in a child that has not started.
void run_natively(int signal, siginfo_t* info, void* context);
/// Only calls it, on the stack that the fiber has given for that.
void call_handler(const kernel_action& action, int signal, siginfo_t* info,
                  void* context) noexcept(false);

}  // namespace coir::threads
