/// What the program has set for each signal. For what it handles itself the kernel calls our
/// handler, and the table here knows the program's.
#pragma once

#include "hooks/threads/signal_set.hpp"

#include <csignal>

namespace coir::threads {

/// The kernel's struct sigaction.
struct kernel_action {
  void (*handler)(int) = nullptr;
  unsigned long flags = 0;
  void (*restorer)() = nullptr;
  signal_set mask = 0;
};

/// The two kinds of handlers share one place, as in the kernel's structure, and one convention.
using long_handler = void (*)(int, siginfo_t*, void*);

/// For the start: `entry` is what the kernel is to call. False when libc's way is not found.
bool prepare_actions(long_handler entry) noexcept;
/// Takes over the handlers that the program has set.
void take_over_all() noexcept;

/// True once handlers of the program are called by way of ours, in this process or in the one that
/// it was forked from.
bool manages_handlers() noexcept;
bool is_taken_over(int signal) noexcept;
kernel_action action_of(int signal) noexcept;
bool is_function(void (*handler)(int)) noexcept;
/// What the program has set for a signal; as sigaction(2) for it. 0 or -errno.
int change_action(int signal, const kernel_action* next, kernel_action* old) noexcept;
/// Before the handler runs: SA_RESETHAND.
void reset_if_asked(int signal, const kernel_action& action) noexcept;
/// The system call itself.
long kernel_sigaction(int signal, const kernel_action* next, kernel_action* old) noexcept;

}  // namespace coir::threads
