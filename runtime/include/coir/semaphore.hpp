/// Counting semaphore for fibers.
#pragma once

#include <coir/detail/wait_queue.hpp>
#include <coir/export.hpp>

#include <cstddef>

namespace coir {

/// std::counting_semaphore for fibers. Fair: a fiber that waited gets a unit before one that comes
/// later, even when the releaser comes right back. Any fiber or thread may call any member. Must
/// not be destroyed while waited on.
class COIR_API counting_semaphore {
 public:
  /// Starts with `units` units. Never parks.
  constexpr explicit counting_semaphore(std::ptrdiff_t units) noexcept : units_(units) {}
  counting_semaphore(const counting_semaphore&) = delete;
  counting_semaphore& operator=(const counting_semaphore&) = delete;

  /// Takes a unit; parks while there is none. Throws fiber_exit when the fiber is killed meanwhile.
  void acquire();
  /// Takes a unit if there is one and nobody waits for it; never parks.
  bool try_acquire() noexcept;
  /// As acquire, but for no longer than `timeout`; true when a unit was taken.
  template <class Rep, class Period>
  bool try_acquire_for(std::chrono::duration<Rep, Period> timeout) {
    return acquire_until(detail::deadline_after(timeout));
  }
  /// As acquire, but until `when` at the latest; true when a unit was taken.
  template <class Duration>
  bool try_acquire_until(std::chrono::time_point<std::chrono::steady_clock, Duration> when) {
    return acquire_until(detail::deadline_at(when));
  }
  /// Gives `units` units back, the first of them to those who wait, in order; never parks. `units`
  /// must not be negative.
  void release(std::ptrdiff_t units = 1) noexcept;
  /// The units that are free now; a moment later it may differ. Never parks.
  std::ptrdiff_t available() noexcept;

 private:
  bool acquire_until(detail::deadline until);

  detail::short_lock lock_;
  detail::wait_queue waiters_;  ///< guarded by lock_
  std::ptrdiff_t units_;        ///< guarded by lock_
};

}  // namespace coir
