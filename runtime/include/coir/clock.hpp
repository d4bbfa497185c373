/// The time that coir's waits are measured by.
#pragma once

#include <coir/detail/clock.hpp>

namespace coir {

/// std::chrono::steady_clock, whose points it has; but under the virtual clock of a test, see
/// replay.hpp, now() is the virtual time. Code that is to be tested so asks it in place of
/// steady_clock.
struct clock {
  /// Those of steady_clock, as the standard wants a clock to have them.
  using duration = std::chrono::steady_clock::duration;
  /// See duration.
  using rep = duration::rep;
  /// See duration.
  using period = duration::period;
  /// See duration.
  using time_point = std::chrono::steady_clock::time_point;
  /// It never goes back, except at the end of a virtual clock.
  static constexpr bool is_steady = true;

  /// The present time. Any thread; never parks.
  static time_point now() noexcept {
    return time_point(
        std::chrono::duration_cast<duration>(std::chrono::nanoseconds(detail::now_ns())));
  }
};

}  // namespace coir
