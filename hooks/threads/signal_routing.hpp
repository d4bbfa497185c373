/// Whose signal it is, and how that fiber learns of it. One for the process goes to the main thread
/// if that does not block it, as the kernel prefers it too, else to the running fiber, else to any
/// other that does not block it.
#pragma once

#include "hooks/threads/signal_set.hpp"
#include "hooks/threads/state.hpp"
#include "hooks/threads/thread_fiber.hpp"

#include <csignal>

namespace coir::threads {

/// True when the fiber lives and does not block the signal.
bool accepts(const thread_fiber& fiber, int signal) noexcept;
/// Makes the fiber look at `pending` soon, wherever it is.
void poke(thread_fiber& fiber, int signal) noexcept;
/// True of a signal that only interrupts a carrier so that its fiber looks at `pending`.
bool is_poke(const siginfo_t& info) noexcept;

/// For the process, in a place where the scheduler's locks may be held: only noted.
void note_for_process(const siginfo_t& info) noexcept;
/// Passes on what was noted. Not in a signal handler.
void route_process_signals() noexcept;

}  // namespace coir::threads
