/// How long the calls on a socket may take.
#pragma once

#include <coir/detail/clock.hpp>

#include <chrono>

namespace coir::net {

/// How long one call may take in all: a duration from now, a point on steady_clock, or (the
/// default) no limit. A parameter type: pass `2s`, or a time point.
class time_limit {
 public:
  /// No limit.
  constexpr time_limit() noexcept = default;
  /// `timeout` from now; zero or less means that the call may not wait at all.
  template <class Rep, class Period>
  time_limit(std::chrono::duration<Rep, Period> timeout) noexcept
      : until_(coir::detail::deadline_after(timeout)) {}
  /// Until `when`.
  template <class Duration>
  time_limit(std::chrono::time_point<std::chrono::steady_clock, Duration> when) noexcept
      : until_(coir::detail::deadline_at(when)) {}

  /// The deadline as the runtime counts it.
  constexpr coir::detail::deadline until() const noexcept { return until_; }

 private:
  coir::detail::deadline until_ = coir::detail::never;
};

/// The deadlines that a socket keeps for its calls. They are absolute: once passed, each call that
/// has to wait fails with std::errc::timed_out, until a new deadline is set; a call that need not
/// wait may succeed. A call uses the deadline that stands when it begins: setting a new one does
/// not touch calls that wait already. None of the members parks; to be called by fibers of the
/// socket's worker.
class expiry {
 public:
  /// Reads and writes may wait until `timeout` from now.
  template <class Rep, class Period>
  void expires_after(std::chrono::duration<Rep, Period> timeout) noexcept {
    read_until_ = write_until_ = coir::detail::deadline_after(timeout);
  }
  /// Reads and writes may wait until `when`.
  template <class Duration>
  void expires_at(std::chrono::time_point<std::chrono::steady_clock, Duration> when) noexcept {
    read_until_ = write_until_ = coir::detail::deadline_at(when);
  }
  /// Reads and writes may wait without limit; so it is in a new object.
  void expires_never() noexcept { read_until_ = write_until_ = coir::detail::never; }

  /// expires_after for reads only.
  template <class Rep, class Period>
  void reads_expire_after(std::chrono::duration<Rep, Period> timeout) noexcept {
    read_until_ = coir::detail::deadline_after(timeout);
  }
  /// expires_at for reads only.
  template <class Duration>
  void reads_expire_at(std::chrono::time_point<std::chrono::steady_clock, Duration> when) noexcept {
    read_until_ = coir::detail::deadline_at(when);
  }
  /// expires_never for reads only.
  void reads_expire_never() noexcept { read_until_ = coir::detail::never; }

  /// expires_after for writes only.
  template <class Rep, class Period>
  void writes_expire_after(std::chrono::duration<Rep, Period> timeout) noexcept {
    write_until_ = coir::detail::deadline_after(timeout);
  }
  /// expires_at for writes only.
  template <class Duration>
  void writes_expire_at(
      std::chrono::time_point<std::chrono::steady_clock, Duration> when) noexcept {
    write_until_ = coir::detail::deadline_at(when);
  }
  /// expires_never for writes only.
  void writes_expire_never() noexcept { write_until_ = coir::detail::never; }

 protected:
  ~expiry() = default;
  /// The deadline of a call that reads or accepts.
  coir::detail::deadline read_until() const noexcept { return read_until_; }
  /// The deadline of a call that writes or connects.
  coir::detail::deadline write_until() const noexcept { return write_until_; }

 private:
  coir::detail::deadline read_until_ = coir::detail::never;
  coir::detail::deadline write_until_ = coir::detail::never;
};

}  // namespace coir::net
