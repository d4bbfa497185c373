/// A gate that opens once, after a known number of arrivals.
#pragma once

#include <coir/detail/countdown.hpp>
#include <coir/export.hpp>

#include <cstddef>
#include <cstdint>

namespace coir {

/// std::latch for fibers, with timed waits. Any fiber or thread may call any member. Constant-
/// initialised; may be destroyed once all waits have returned, even if the last count_down has not.
class COIR_API latch {
 public:
  /// The highest number it may start with.
  static constexpr std::ptrdiff_t max() noexcept { return PTRDIFF_MAX; }

  /// Opens after `expected` arrivals; with 0 it is open at once. Throws std::invalid_argument when
  /// that is negative. Never parks.
  constexpr explicit latch(std::ptrdiff_t expected) : left_(expected) {
    if (expected < 0) refuse_negative();
  }
  latch(const latch&) = delete;
  latch& operator=(const latch&) = delete;

  /// Counts `arrivals`; the last one opens the latch and wakes everybody who waits. Throws
  /// std::invalid_argument when that is negative and std::logic_error when so many are not
  /// expected any more; nothing is counted then. Never parks.
  void count_down(std::ptrdiff_t arrivals = 1);
  /// True once the latch is open. Never parks.
  bool try_wait() const noexcept { return left_.count() == 0; }
  /// Parks until the latch is open. Throws fiber_exit when the fiber is killed meanwhile.
  void wait() const { left_.wait(detail::never, detail::wait_reason::latch); }
  /// As wait, but for no longer than `timeout`; true when the latch was open.
  template <class Rep, class Period>
  bool wait_for(std::chrono::duration<Rep, Period> timeout) const {
    return left_.wait(detail::deadline_after(timeout), detail::wait_reason::latch);
  }
  /// As wait, but until `when` at the latest; true when the latch was open.
  template <class Duration>
  bool wait_until(std::chrono::time_point<std::chrono::steady_clock, Duration> when) const {
    return left_.wait(detail::deadline_at(when), detail::wait_reason::latch);
  }
  /// count_down and wait in one. The arrivals count even when the wait ends by a kill.
  void arrive_and_wait(std::ptrdiff_t arrivals = 1) {
    count_down(arrivals);
    wait();
  }

  /// Used by wait_any and its kin: ready once the latch is open.
  detail::wait_source as_wait_source() const noexcept { return left_.as_wait_source(); }

 private:
  [[noreturn]] static void refuse_negative();

  detail::countdown left_;
};

}  // namespace coir
