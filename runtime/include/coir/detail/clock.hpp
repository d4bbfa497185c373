/// Deadlines: absolute nanoseconds on CLOCK_MONOTONIC. Durations exist only at the public edge.
#pragma once

#include <coir/export.hpp>

#include <cstdint>
#include <mutex>  // declares std::chrono's durations and clocks, without the calendars of <chrono>

namespace coir::detail {

/// An absolute point on CLOCK_MONOTONIC, in nanoseconds.
using deadline = std::int64_t;

/// The deadline that never passes: a wait without limit.
inline constexpr deadline never = INT64_MAX;

/// Reads CLOCK_MONOTONIC, or the virtual clock if there is one. Any thread; never parks, never
/// fails.
COIR_API deadline now_ns() noexcept;
/// Reads CLOCK_MONOTONIC, for what is measured and not waited for. As now_ns.
deadline real_now_ns() noexcept;
/// Makes `now` the time of a virtual clock, for the whole process; 0 ends that. Any thread; never
/// parks.
void set_virtual_now(deadline now) noexcept;

/// The deadline that lies `timeout` from now. A timeout that is negative has passed already; one
/// too long to count is `never`. Any thread; never parks.
template <class Rep, class Period>
deadline deadline_after(std::chrono::duration<Rep, Period> timeout) noexcept {
  using seconds = std::chrono::duration<double>;
  constexpr seconds longest(9.0e9);  // 285 years: past it the sum with now_ns() could overflow
  if (std::chrono::duration_cast<seconds>(timeout) >= longest) return never;
  if (timeout <= timeout.zero()) return 0;
  return now_ns() + std::chrono::ceil<std::chrono::nanoseconds>(timeout).count();
}

/// The deadline of a point on std::chrono::steady_clock, which is CLOCK_MONOTONIC on Linux. A point
/// before the clock's start has passed already. Any thread; never parks.
template <class Duration>
deadline deadline_at(std::chrono::time_point<std::chrono::steady_clock, Duration> when) noexcept {
  using seconds = std::chrono::duration<double>;
  if (std::chrono::duration_cast<seconds>(when.time_since_epoch()) >= seconds(9.0e9)) return never;
  if (when.time_since_epoch() <= Duration::zero()) return 0;
  return std::chrono::ceil<std::chrono::nanoseconds>(when.time_since_epoch()).count();
}

}  // namespace coir::detail
