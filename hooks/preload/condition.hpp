/// Conditions, for the hook that cancels threads.
#pragma once

#include <pthread.h>

namespace coir::hooks {

/// To be called after a native thread was cancelled: where it waits for a condition by our hook,
/// libc's own signal does not end its wait.
void wake_cancelled(pthread_t native_thread) noexcept;

}  // namespace coir::hooks
