/// A flag that fibers wait for: gevent.event.Event.
#pragma once

#include <coir/detail/observer.hpp>
#include <coir/export.hpp>

#include <atomic>

namespace coir {
namespace detail {
struct select_access;
}

/// Set once or often, by any fiber or thread. Waiters wake in order of arrival.
/// Constant-initialised; must not be destroyed while waited on.
class COIR_API event {
 public:
  constexpr event() noexcept = default;
  event(const event&) = delete;
  event& operator=(const event&) = delete;

  /// Sets the flag and wakes everybody who waits now; never parks. Any fiber or thread.
  void set() noexcept;
  /// Clears the flag; a fiber that the last set() woke stays woken. Never parks.
  void clear() noexcept;
  /// True while the flag is set; never parks.
  bool is_set() const noexcept { return is_set_.load(std::memory_order_acquire); }

  /// Parks until the flag is set; returns at once if it is. Throws fiber_exit when the fiber is
  /// killed meanwhile.
  void wait() { wait_until_deadline(detail::never); }
  /// As wait, but for no longer than `timeout`; true when the flag was set.
  template <class Rep, class Period>
  bool wait_for(std::chrono::duration<Rep, Period> timeout) {
    return wait_until_deadline(detail::deadline_after(timeout));
  }
  /// As wait, but until `when` at the latest; true when the flag was set.
  template <class Duration>
  bool wait_until(std::chrono::time_point<std::chrono::steady_clock, Duration> when) {
    return wait_until_deadline(detail::deadline_at(when));
  }

  /// Used by wait_any and its kin: ready while set.
  detail::wait_source as_wait_source() noexcept {
    return {&lock_, &waiters_,
            [](const void* self) noexcept { return static_cast<const event*>(self)->is_set(); },
            this};
  }

 private:
  friend struct detail::select_access;
  bool wait_until_deadline(detail::deadline until);

  detail::short_lock lock_;
  detail::wait_queue waiters_;       ///< guarded by lock_
  std::atomic<bool> is_set_{false};  ///< written under lock_
};

}  // namespace coir
