/// Waiting for a number of things that is not known beforehand.
#pragma once

#include <coir/detail/countdown.hpp>
#include <coir/export.hpp>

#include <cstddef>

namespace coir {

/// Go's sync.WaitGroup. Whoever hands work out adds to the counter, each piece of work calls done()
/// at its end, and wait() parks until the counter is zero. It may be used again after that: a wait
/// ends at the first zero after its begin, also when others add at once. Add before the work can
/// end, that is, before it is spawned and not in it. Any fiber or thread may call any member.
/// Constant-initialised; may be destroyed once all waits have returned, even if the last done has
/// not.
class COIR_API wait_group {
 public:
  /// Starts at zero.
  constexpr wait_group() noexcept : left_(0) {}
  wait_group(const wait_group&) = delete;
  wait_group& operator=(const wait_group&) = delete;

  /// Adds `count`, which may be negative; wakes everybody who waits when the counter is zero then.
  /// Throws std::logic_error, with the counter as it was, when it would become negative or too
  /// large (where Go panics). Never parks.
  void add(std::ptrdiff_t count = 1);
  /// Takes one off the counter: add(-1).
  void done() { add(-1); }
  /// What is left to be done now; a moment later it may differ. Never parks.
  std::ptrdiff_t count() const noexcept { return left_.count(); }

  /// Parks until the counter is zero; returns at once if it is. Throws fiber_exit when the fiber is
  /// killed meanwhile.
  void wait() const { left_.wait(detail::never, detail::wait_reason::wait_group); }
  /// As wait, but for no longer than `timeout`; true when the counter was zero.
  template <class Rep, class Period>
  bool wait_for(std::chrono::duration<Rep, Period> timeout) const {
    return left_.wait(detail::deadline_after(timeout), detail::wait_reason::wait_group);
  }
  /// As wait, but until `when` at the latest; true when the counter was zero.
  template <class Duration>
  bool wait_until(std::chrono::time_point<std::chrono::steady_clock, Duration> when) const {
    return left_.wait(detail::deadline_at(when), detail::wait_reason::wait_group);
  }

  /// Used by wait_any and its kin: ready while the counter is zero.
  detail::wait_source as_wait_source() const noexcept { return left_.as_wait_source(); }

 private:
  detail::countdown left_;
};

}  // namespace coir
