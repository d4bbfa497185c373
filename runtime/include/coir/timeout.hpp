/// A deadline over any code: gevent's Timeout.
#pragma once

#include <coir/detail/interruption.hpp>
#include <coir/detail/timer_node.hpp>
#include <coir/exceptions.hpp>
#include <coir/export.hpp>

#include <cstdint>
#include <exception>
#include <mutex>  // std::chrono, as in detail/clock.hpp
#include <type_traits>
#include <utility>

namespace coir {

/// From its construction to the end of its scope, or cancel(), limits the time that the fiber which
/// made it may spend. When the time is up, coir::timeout, or the error that was given, is thrown at
/// the call in which the fiber waits, or at its next wait; once, so that handlers may wait again.
///
///     try {
///       timeout_scope limit(2s);
///       ...
///     } catch (const timeout& e) { ... }
///
/// Scopes nest: each throws its own object, and owns() tells whose it is. A deadline never crosses
/// a C frame: hooked calls fail with ETIMEDOUT until control is in C++ again, and the exception is
/// thrown by the next coir call that waits, by check(), or at the latest by the destructor. Code
/// that computes without waiting is not interrupted. Costs no system call and no allocation. Unless
/// said otherwise, members may be called by the fiber that made the scope only, and never park.
class COIR_API timeout_scope {
 public:
  /// Throws timeout after `limit`. Zero or less: with the next wait. Makes the thread a worker if
  /// it is none, and throws what that throws.
  template <class Rep, class Period>
  explicit timeout_scope(std::chrono::duration<Rep, Period> limit)
      : timeout_scope(detail::deadline_after(limit), nullptr) {}
  /// Throws `error` in place of timeout.
  template <class Rep, class Period>
  timeout_scope(std::chrono::duration<Rep, Period> limit, std::exception_ptr error)
      : timeout_scope(detail::deadline_after(limit), std::move(error)) {}
  /// As with a limit, but throws at `when`.
  template <class Duration>
  explicit timeout_scope(std::chrono::time_point<std::chrono::steady_clock, Duration> when)
      : timeout_scope(detail::deadline_at(when), nullptr) {}
  timeout_scope(const timeout_scope&) = delete;
  timeout_scope& operator=(const timeout_scope&) = delete;
  /// Ends the limit. A time-out that has fired but reached no wait is dropped: the code was done in
  /// time. But when it has made a hooked call of C code fail, and no exception is under way, it is
  /// thrown here, so that it cannot be taken for that code's own error.
  ~timeout_scope() noexcept(false);

  /// Ends the limit: what follows may take any time. Drops a time-out that was not thrown yet.
  void cancel() noexcept;
  /// Begins anew, with `limit` from now; also after it has fired.
  template <class Rep, class Period>
  void restart(std::chrono::duration<Rep, Period> limit) {
    restart_until(detail::deadline_after(limit));
  }
  /// Throws what the scope throws if its time is up and that was not thrown yet: for long
  /// computations, and after C code.
  void check();

  /// Does what the destructor does, for code that wants to catch what it throws: to be called when
  /// the limited code is done.
  void finish();

  /// True while the limit is on and its time not up.
  bool pending() const noexcept { return timer_.is_armed(); }
  /// True once the time was up, until restart().
  bool expired() const noexcept { return has_expired_; }
  /// True when `e` was thrown by this scope, not by another or by a single wait. Any thread.
  bool owns(const timeout& e) const noexcept { return number_ != 0 && e.scope() == number_; }

 private:
  struct scope_timer : detail::timer_node {
    timeout_scope* scope = nullptr;
  };
  struct scope_interruption : detail::interruption {
    timeout_scope* scope = nullptr;
  };

  timeout_scope(detail::deadline until, std::exception_ptr error);
  void restart_until(detail::deadline until) noexcept;
  static void expire(detail::timer_node& timer) noexcept;
  [[noreturn]] static void raise(detail::interruption& in);
  [[noreturn]] void raise_own();

  scope_timer timer_;
  scope_interruption in_;
  detail::control_block* const fiber_;
  const std::uint64_t fiber_id_;  ///< its control block may be another fiber's by the end
  std::exception_ptr error_;
  std::uint64_t number_ = 0;  ///< set when it is thrown
  int uncaught_;              ///< exceptions that were under way when the scope began
  bool has_expired_ = false;
};

/// Calls `f()` with at most `limit`; returns its result, or throws coir::timeout. Parks as `f`
/// does.
template <class Rep, class Period, class Function>
  requires std::is_invocable_v<Function>
decltype(auto) with_timeout(std::chrono::duration<Rep, Period> limit, Function&& f) {
  timeout_scope scope(limit);
  return std::forward<Function>(f)();
}

/// Calls `f()` with at most `limit`; returns its result, or `otherwise` when the time is up. The
/// time-outs of other scopes pass through.
template <class Rep, class Period, class Function, class Value>
  requires std::is_invocable_v<Function>
auto with_timeout(std::chrono::duration<Rep, Period> limit, Function&& f, Value&& otherwise)
    -> std::decay_t<std::invoke_result_t<Function>> {
  timeout_scope scope(limit);
  try {
    std::decay_t<std::invoke_result_t<Function>> result = std::forward<Function>(f)();
    scope.finish();
    return result;
  } catch (const timeout& e) {
    if (!scope.owns(e)) throw;
    return std::forward<Value>(otherwise);
  }
}

/// Calls `f()` with at most `limit`; true when it came to its end in time, false when it was left
/// because the time was up: gevent's silent Timeout. The time-outs of other scopes pass through.
template <class Rep, class Period, class Function>
  requires std::is_invocable_v<Function>
bool move_on_after(std::chrono::duration<Rep, Period> limit, Function&& f) {
  timeout_scope scope(limit);
  try {
    std::forward<Function>(f)();
    scope.finish();
    return true;
  } catch (const timeout& e) {
    if (!scope.owns(e)) throw;
    return false;
  }
}

}  // namespace coir
