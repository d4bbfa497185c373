/// Points in time and uses of time.
#pragma once

#include <cstdint>
#include <ctime>

namespace stress {

inline timespec time_in(clockid_t clock, std::int64_t from_now_ns) noexcept {
  timespec when{};
  ::clock_gettime(clock, &when);
  const std::int64_t ns = when.tv_nsec + from_now_ns;
  when.tv_sec += ns / 1'000'000'000;
  when.tv_nsec = ns % 1'000'000'000;
  return when;
}

inline bool is_past(clockid_t clock, const timespec& when) noexcept {
  timespec now{};
  ::clock_gettime(clock, &now);
  return now.tv_sec > when.tv_sec || (now.tv_sec == when.tv_sec && now.tv_nsec >= when.tv_nsec);
}

inline std::int64_t now_ns() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * std::int64_t{1'000'000'000} + now.tv_nsec;
}

/// Sleeps at least so long.
inline void nap(std::int64_t ns) noexcept {
  timespec left{ns / 1'000'000'000, ns % 1'000'000'000};
  while (::nanosleep(&left, &left) != 0) continue;
}

/// Computes for so long, without any call that waits.
inline void compute(std::int64_t ns) noexcept {
  const std::int64_t end = now_ns() + ns;
  while (now_ns() < end) continue;
}

}  // namespace stress
