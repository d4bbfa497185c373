/// The monitor: a kernel thread that takes the token of a carrier which does not come back.
///
/// Every 2 ms, while all tokens are in use, it looks at each carrier that holds one and runs a
/// fiber. Has its switch counter stood still, and does anybody need the token (fibers are ready, or
/// nobody polls while something could happen), then why does it stand still? When it has computed
/// for nearly the whole period, or when the kernel says that it sleeps, the token goes on; when it
/// merely waits for a processor, nothing is gained by that. After a hand-over because of a sleep
/// the next look comes soon, since others are likely to sleep in the same place.
///
/// While a token is free any wake finds a runner by itself, and the monitor sleeps as long as
/// somebody polls. When the poller has left to run a fiber, and does not come back, the monitor
/// brings another carrier, which polls.
#pragma once

namespace coir::threads {

/// Starts it, once; 0 or an errno.
int start_monitor() noexcept;

}  // namespace coir::threads
