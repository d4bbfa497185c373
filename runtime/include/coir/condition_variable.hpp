/// Waiting for a condition under a coir::mutex.
#pragma once

#include <coir/mutex.hpp>

#include <type_traits>

namespace coir {
namespace detail {

/// std::cv_status, and whatever else has its names: <condition_variable>, which alone declares it,
/// brings the shared pointers, too, and they take as long to compile as all of coir's headers.
template <class Status>
concept cv_status_like = std::is_enum_v<Status> && requires {
  Status::no_timeout;
  Status::timeout;
};

}  // namespace detail

/// Whether a wait with a limit was over in time: compares with, and converts to, std::cv_status.
class cv_status {
 public:
  /// Of a wait that timed out, or did not.
  constexpr explicit cv_status(bool is_timeout) noexcept : is_timeout_(is_timeout) {}
  /// The same as std::cv_status.
  template <detail::cv_status_like Status>
  constexpr operator Status() const noexcept {
    return is_timeout_ ? Status::timeout : Status::no_timeout;
  }
  /// True for the status that it stands for.
  template <detail::cv_status_like Status>
  friend constexpr bool operator==(cv_status a, Status b) noexcept {
    return static_cast<Status>(a) == b;
  }

 private:
  bool is_timeout_;
};

/// std::condition_variable for fibers. Waiters wake in order of arrival. Constant-initialised; must
/// not be destroyed while waited on. Any fiber or thread may call any member.
class COIR_API condition_variable {
 public:
  constexpr condition_variable() noexcept = default;
  condition_variable(const condition_variable&) = delete;
  condition_variable& operator=(const condition_variable&) = delete;

  /// Wakes the fiber that has waited longest, if any; never parks. The mutex need not be held.
  void notify_one() noexcept;
  /// Wakes all that wait now; never parks. The mutex need not be held.
  void notify_all() noexcept;

  /// Releases the mutex and parks until notified; holds the mutex again on return, and when it
  /// throws fiber_exit because the fiber was killed. `lock` must hold the mutex.
  void wait(std::unique_lock<mutex>& lock) { wait_on(lock, detail::never); }
  /// wait in a loop until `condition()` is true.
  template <class Predicate>
  void wait(std::unique_lock<mutex>& lock, Predicate condition) {
    while (!condition()) wait(lock);
  }
  /// As wait, but for no longer than `timeout` (then the mutex is taken again, which may take
  /// longer).
  template <class Rep, class Period>
  cv_status wait_for(std::unique_lock<mutex>& lock, std::chrono::duration<Rep, Period> timeout) {
    return cv_status(!wait_on(lock, detail::deadline_after(timeout)));
  }
  /// As wait_for in a loop until `condition()` is true or the time is up; returns what
  /// `condition()` says last.
  template <class Rep, class Period, class Predicate>
  bool wait_for(std::unique_lock<mutex>& lock, std::chrono::duration<Rep, Period> timeout,
                Predicate condition) {
    return wait_for_condition(lock, detail::deadline_after(timeout), std::move(condition));
  }
  /// As wait, but until `when` at the latest.
  template <class Duration>
  cv_status wait_until(std::unique_lock<mutex>& lock,
                       std::chrono::time_point<std::chrono::steady_clock, Duration> when) {
    return cv_status(!wait_on(lock, detail::deadline_at(when)));
  }
  /// As wait_until in a loop until `condition()` is true or the time is up; returns what
  /// `condition()` says last.
  template <class Duration, class Predicate>
  bool wait_until(std::unique_lock<mutex>& lock,
                  std::chrono::time_point<std::chrono::steady_clock, Duration> when,
                  Predicate condition) {
    return wait_for_condition(lock, detail::deadline_at(when), std::move(condition));
  }

 private:
  /// False when the deadline has passed.
  bool wait_on(std::unique_lock<mutex>& lock, detail::deadline until);
  template <class Predicate>
  bool wait_for_condition(std::unique_lock<mutex>& lock, detail::deadline until,
                          Predicate condition) {
    while (!condition()) {
      if (!wait_on(lock, until)) return condition();
    }
    return true;
  }

  detail::short_lock lock_;
  detail::wait_queue waiters_;  ///< guarded by lock_
};

}  // namespace coir
