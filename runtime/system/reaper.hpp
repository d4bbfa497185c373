/// Children that nobody waits for any more.
#pragma once

namespace coir::detail {

/// Takes over `pidfd` of a child of this process, waits for its end on a thread of its own, and
/// closes it. 0, or -errno when that cannot be; the descriptor is the caller's then. Any thread;
/// never parks.
int reap_in_background(int pidfd) noexcept;

/// waitid(2) without waiting: 1 when the child behind `pidfd` has ended, and is reaped; 0 while it
/// runs, or -errno. Any thread; never parks.
int reap_now(int pidfd, int& code, int& status) noexcept;

}  // namespace coir::detail
