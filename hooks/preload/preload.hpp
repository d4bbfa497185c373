/// What the hooks of the preload library share. Their first step is `threads::current()`: the fiber
/// that makes the call, or null where libc's own function is to be called: on kernel threads that
/// are not ours, and before the program has made its first thread.
#pragma once

#include "hooks/hook.hpp"
#include "hooks/preload/real.hpp"
#include "hooks/threads/scheduler.hpp"
#include "hooks/threads/vfork_child.hpp"

#include <cerrno>
#include <ctime>

namespace coir::hooks {

/// The running fiber, when the call may park: not inside a signal handler that interrupted it.
inline threads::thread_fiber* parking_fiber() noexcept {
  threads::thread_fiber* const self = threads::current();
  return self && self->handler_depth == 0 ? self : nullptr;
}
/// The same for a call of a family: null too when that is switched off.
inline threads::thread_fiber* parking_fiber(family f) noexcept {
  return is_off(f) ? nullptr : parking_fiber();
}

/// The running fiber, inside a signal handler too; null in the child of a vfork, as off a fiber.
inline threads::thread_fiber* recorded_fiber() noexcept {
  threads::thread_fiber* const self = threads::current();
  return self && !threads::is_vfork_child(*self) ? self : nullptr;
}

/// Once the runtime is on: tells it of protection keys that the program has made before.
void note_memory_keys() noexcept;

/// A time on `clock` as a deadline of ours; `never` for null.
inline threads::deadline deadline_at(clockid_t clock, const timespec* when) noexcept {
  if (!when) return detail::never;
  constexpr std::int64_t second_ns = 1'000'000'000;
  constexpr std::int64_t seconds_max = 9'000'000'000;
  if (when->tv_sec >= seconds_max) return detail::never;
  if (when->tv_sec < 0) return 0;
  const std::int64_t wanted = when->tv_sec * second_ns + when->tv_nsec;
  if (clock == CLOCK_MONOTONIC) return wanted;
  timespec now{};
  ::clock_gettime(clock, &now);
  const std::int64_t left = wanted - (now.tv_sec * second_ns + now.tv_nsec);
  return left <= 0 ? 0 : detail::now_ns() + left;
}

}  // namespace coir::hooks
