/// pthread_cancel for threads that are fibers. libc notes a cancellation in the word of the thread;
/// a park looks at it, and a call of libc's is interrupted by libc's own signal.
#pragma once

#include "hooks/threads/signal_mask.hpp"
#include "hooks/threads/state.hpp"

#include <cstdint>

namespace coir::threads {

/// True when pthread_cancel has been called for the fiber and it has not forbidden it.
bool is_cancelled(const thread_fiber& fiber) noexcept;
/// The same for any thread of the process, by its thread pointer.
bool is_cancelled(std::uintptr_t thread_pointer) noexcept;

/// Makes a fiber that was cancelled notice it, in a park of ours or in a call of libc's.
void interrupt_for_cancellation(thread_fiber& fiber) noexcept;

/// After libc's handler of cancellations has unwound the running fiber out of a signal frame of the
/// kernel: that leaves the signal blocked, and the carrier deaf to the next cancellation.
inline void unblock_after_unwinding(carrier& c) noexcept {
  enter_runtime();
  set_kernel_mask(c.kernel_mask, nullptr);
  leave_runtime();
}

}  // namespace coir::threads
