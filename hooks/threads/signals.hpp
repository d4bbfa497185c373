/// Signals for threads that are fibers.
///
/// The kernel knows carriers only. So once the runtime is on it calls our handler, which decides
/// whose signal it is and runs the program's handler there:
///   a fault, or a signal that the running fiber sent itself:  here
///   one for the process: the main thread if that does not block it, as the kernel prefers it too,
///     else the running fiber, else any other that does not block it
/// A handler for the fiber that runs here is called at once, unless the runtime is at work
/// (here.critical): then at the end of that section. For a fiber elsewhere the signal is noted in
/// `pending` and the fiber is woken, or its carrier interrupted; it runs the handler in its own
/// context, and the wait that it was in ends as the flags of the handler say.
///
/// Masks are kept per fiber. A carrier takes over the mask of the fiber that it switches to, if it
/// has another; the poller sleeps with what all fibers block, idle carriers with everything
/// blocked. So a signal that all block stays pending in the kernel, for sigwait and signalfd.
///
/// Inside a handler that interrupted a fiber the hooks make plain calls (handler_depth): the fiber
/// must not leave the stack of the kernel's signal frame.
///
/// What differs from the kernel's threads: several real-time signals of one number that were sent
/// to the process, and come while the runtime is at work, become one; the handler's third argument
/// does not describe the registers when the thread was parked.
#pragma once

#include "hooks/threads/signal_actions.hpp"
#include "hooks/threads/signal_handlers.hpp"
#include "hooks/threads/signal_mask.hpp"
#include "hooks/threads/signal_queue.hpp"

namespace coir::threads {

/// Takes over the handlers that the program has set. False when memory cannot be wiped on fork.
bool start_signals() noexcept;

/// Sends a signal to a fiber. 0 or a positive errno.
int send_signal(thread_fiber& fiber, int signal, const sigval* value = nullptr) noexcept;

}  // namespace coir::threads
