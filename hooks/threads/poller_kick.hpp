/// The kick: an eventfd in the epoll that ends the sleep of the poller, for work, an earlier timer
/// or a signal. Kicks that come before the poller has heard the first are one.
#pragma once

namespace coir::threads {

/// Makes the eventfd. 0 or -errno.
int start_kick() noexcept;

/// Wakes the poller, which looks at timers and its time limit again. Any kernel thread; also in a
/// signal handler.
void kick_poller() noexcept;

/// Only for the poller, and while it still is: whoever merely looks, or was it before, would
/// take the kick from the one that sleeps now. Who kicks between the two steps is not heard, and
/// need not be: the poller is awake.
void take_kick() noexcept;

}  // namespace coir::threads
