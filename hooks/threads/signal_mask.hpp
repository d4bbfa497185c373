/// Signal masks, which are a fiber's own. A carrier takes over the mask of the fiber that it
/// switches to, if it has another; the poller sleeps with what all fibers block, idle carriers with
/// everything blocked. So a signal that all block stays pending in the kernel, for sigwait and
/// signalfd.
#pragma once

#include "hooks/threads/carrier.hpp"
#include "hooks/threads/signal_set.hpp"

namespace coir::threads {

/// Sets the calling kernel thread's mask; `old` may be null.
void set_kernel_mask(signal_set mask, signal_set* old) noexcept;

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
/// A fiber with this mask begins (+1) or ends (-1).
void count_mask(signal_set blocked, int change) noexcept;
/// Changes the mask of the running fiber without looking for signals that it lets in.
void exchange_mask(thread_fiber& self, signal_set blocked) noexcept;

/// For the start: true when the memory can be wiped on fork.
bool start_signal_masks() noexcept;

}  // namespace coir::threads
