/// The time limits of POSIX calls as deadlines.
#pragma once

#include <coir/detail/clock.hpp>

#include <chrono>

#include <sys/time.h>
#include <time.h>

namespace coir::hooks {

inline constexpr long second_ns = 1'000'000'000;
inline constexpr long second_us = 1'000'000;

/// True for what the kernel takes as a duration; it answers EINVAL to anything else.
inline bool is_valid(const timespec& t) noexcept {
  return t.tv_sec >= 0 && t.tv_nsec >= 0 && t.tv_nsec < second_ns;
}
inline bool is_valid(const timeval& t) noexcept { return t.tv_sec >= 0 && t.tv_usec >= 0; }

/// The deadline that lies `seconds` and `ns` from now; `never` when that is too far away to count.
inline detail::deadline deadline_in(time_t seconds, long ns) noexcept {
  constexpr time_t longest = 9'000'000'000;
  if (seconds >= longest) return detail::never;
  if (seconds == 0 && ns == 0) return 0;
  return detail::now_ns() + seconds * second_ns + ns;
}
/// The same for a valid duration; without one there is no limit.
inline detail::deadline deadline_in(const timespec* timeout) noexcept {
  return timeout ? deadline_in(timeout->tv_sec, timeout->tv_nsec) : detail::never;
}
inline detail::deadline deadline_in(const timeval* timeout) noexcept {
  if (!timeout) return detail::never;
  return deadline_in(timeout->tv_sec + timeout->tv_usec / second_us,
                     timeout->tv_usec % second_us * 1000);
}
/// The same for the milliseconds of poll and epoll_wait; negative ones mean no limit.
inline detail::deadline deadline_in_ms(int timeout_ms) noexcept {
  return timeout_ms < 0 ? detail::never
                        : deadline_in(timeout_ms / 1000, timeout_ms % 1000 * 1'000'000L);
}

inline bool has_passed(detail::deadline until) noexcept {
  return until != detail::never && detail::now_ns() >= until;
}
/// What is left until the deadline, in nanoseconds, not below 0.
inline long left_ns(detail::deadline until) noexcept {
  const detail::deadline left = until - detail::now_ns();
  return left > 0 ? left : 0;
}
inline timespec to_timespec(long ns) noexcept { return {ns / second_ns, ns % second_ns}; }

}  // namespace coir::hooks
