/// Signals that wait: for a fiber, whose `pending` has a bit for each number, or for the process.
/// Real-time signals that were sent to a fiber wait each with its value, in a queue.
#pragma once

#include "hooks/threads/signal_set.hpp"
#include "hooks/threads/thread_fiber.hpp"

#include <csignal>

namespace coir::threads {

inline constexpr int first_queued_signal = 34;  // SIGRTMIN: libc keeps two

/// The last one of its number, which what waits unqueued is taken for.
void note_info(const siginfo_t& info) noexcept;
siginfo_t info_of(int signal) noexcept;
/// Puts a signal into `pending` of a fiber; false when there is no room to queue it.
bool add_pending(thread_fiber& target, const siginfo_t& info) noexcept;
/// Takes one of a number out of it; false when there is none any more.
bool take_pending(thread_fiber& self, int signal, siginfo_t& info) noexcept;

/// Signals for the process that came where they could not be passed on.
bool has_process_signals() noexcept;
void add_process_signal(int signal) noexcept;
/// Takes all of them.
signal_set take_process_signals() noexcept;

/// Signals that wait for the fiber, or for the process, with us.
signal_set pending_signals(const thread_fiber& self) noexcept;
/// Takes one of `set` that waits for the fiber or for the process; 0 when there is none.
int take_signal(thread_fiber& self, signal_set set, siginfo_t* info) noexcept;

/// For the start: true when the memory can be wiped on fork.
bool start_signal_queue() noexcept;

}  // namespace coir::threads
