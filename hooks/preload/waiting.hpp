/// What the hooks of locks, conditions and semaphores share.
#pragma once

#include "hooks/preload/in_region.hpp"
#include "hooks/threads/machine.hpp"
#include "hooks/threads/thread_memory.hpp"

#include <ctime>

namespace coir::hooks {

/// The number under which libc writes the running thread into locks that it owns. While the runtime
/// is on.
inline pid_t own_number() noexcept {
  return *reinterpret_cast<const pid_t*>(threads::thread_pointer() + threads::layout().tid);
}

/// As threads::rejoin_if_stuck, without a call where there is nothing to do.
inline void rejoin(const threads::thread_fiber& self) noexcept {
  const auto state = self.on->state.load(std::memory_order_relaxed);
  if (__builtin_expect(state != threads::carrier_state::running, false)) threads::rejoin_if_stuck();
}

/// libc's own wait, for objects that processes share; without a token on a fiber.
template <class Wait>
auto wait_in_kernel(Wait wait) -> decltype(wait()) {
  return parking_fiber() ? in_region(wait) : wait();
}

/// Those that libc accepts in the clock forms of its waits.
inline bool is_clock_for_waits(clockid_t clock) noexcept {
  return clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC;
}

inline bool has_valid_nanoseconds(const timespec* when) noexcept {
  return when->tv_nsec >= 0 && when->tv_nsec < 1'000'000'000;
}

}  // namespace coir::hooks
