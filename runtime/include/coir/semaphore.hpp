/// Semaphores for fibers.
#pragma once

#include <coir/detail/observer.hpp>
#include <coir/export.hpp>

#include <cstddef>
#include <cstdint>

namespace coir {

/// std::counting_semaphore for fibers, gevent's Semaphore. Fair: a fiber that waited gets a unit
/// before one that comes later, even when the releaser comes right back. Any fiber or thread may
/// call any member. Constant-initialised; must not be destroyed while waited on. In the child of a
/// fork, units that other fibers had or were about to get are gone with those fibers.
class COIR_API counting_semaphore {
 public:
  /// Starts with `units` units. Throws std::invalid_argument when that is negative. Never parks.
  constexpr explicit counting_semaphore(std::ptrdiff_t units)
      : counting_semaphore(units, PTRDIFF_MAX) {}
  counting_semaphore(const counting_semaphore&) = delete;
  counting_semaphore& operator=(const counting_semaphore&) = delete;

  /// Takes a unit; parks while there is none. Throws fiber_exit when the fiber is killed meanwhile.
  void acquire() { acquire_by(detail::never); }
  /// Takes a unit if there is one and nobody waits for it; never parks.
  bool try_acquire() noexcept;
  /// As acquire, but for no longer than `timeout`; true when a unit was taken.
  template <class Rep, class Period>
  bool try_acquire_for(std::chrono::duration<Rep, Period> timeout) {
    return acquire_by(detail::deadline_after(timeout));
  }
  /// As acquire, but until `when` at the latest; true when a unit was taken.
  template <class Duration>
  bool try_acquire_until(std::chrono::time_point<std::chrono::steady_clock, Duration> when) {
    return acquire_by(detail::deadline_at(when));
  }
  /// Gives `units` units back, the first of them to those who wait, in order; never parks. Throws
  /// std::invalid_argument when that is negative, and std::logic_error when there would be more
  /// than max() then; nothing is given back in either case.
  void release(std::ptrdiff_t units = 1);

  /// Parks until a unit is there for the caller, but does not take it: when the caller runs, others
  /// may have. Returns at once while units are free. Throws fiber_exit when the fiber is killed
  /// meanwhile.
  void wait() { wait_by(detail::never); }
  /// As wait, but for no longer than `timeout`; true when there was a unit.
  template <class Rep, class Period>
  bool wait_for(std::chrono::duration<Rep, Period> timeout) {
    return wait_by(detail::deadline_after(timeout));
  }
  /// As wait, but until `when` at the latest; true when there was a unit.
  template <class Duration>
  bool wait_until(std::chrono::time_point<std::chrono::steady_clock, Duration> when) {
    return wait_by(detail::deadline_at(when));
  }

  /// The units that are free now; a moment later it may differ. With 0, an acquire would wait:
  /// gevent's locked(). Never parks.
  std::ptrdiff_t available() noexcept;
  /// How many units there may be at most. Never parks.
  std::ptrdiff_t max() const noexcept { return max_; }

  /// Used by wait_any and its kin: ready while a unit is free.
  detail::wait_source as_wait_source() noexcept {
    return {&lock_, &waiters_,
            [](const void* self) noexcept {
              return static_cast<const counting_semaphore*>(self)->units_ > 0;
            },
            this};
  }

 protected:
  /// One that never holds more than `max` units.
  constexpr counting_semaphore(std::ptrdiff_t units, std::ptrdiff_t max)
      : units_(units), max_(max) {
    if (units < 0) refuse_negative();
  }

 private:
  enum class purpose : bool { look, take };

  [[noreturn]] static void refuse_negative();
  [[gnu::cold]] void refuse(std::ptrdiff_t units);
  bool acquire_by(detail::deadline until);
  bool wait_by(detail::deadline until);
  bool await_unit(detail::deadline until, purpose what);

  detail::short_lock lock_;
  detail::wait_queue waiters_;  ///< guarded by lock_; who only looks has a payload
  std::ptrdiff_t units_;        ///< guarded by lock_; 0 while anybody waits
  const std::ptrdiff_t max_;
};

/// gevent's BoundedSemaphore: one that never has more units than it started with, so that a release
/// without an acquire does not go unnoticed but throws std::logic_error (where gevent throws
/// ValueError). Units may be given back by another fiber than the one that took them.
class COIR_API bounded_semaphore : public counting_semaphore {
 public:
  /// Starts with `units` units and never has more. Throws std::invalid_argument when that is
  /// negative. Never parks.
  constexpr explicit bounded_semaphore(std::ptrdiff_t units) : counting_semaphore(units, units) {}
};

/// std::binary_semaphore. A second unit, which the standard forbids to release, goes unnoticed;
/// bounded_semaphore{1} is one that notices.
using binary_semaphore = counting_semaphore;

}  // namespace coir
