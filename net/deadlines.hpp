/// From the runtime's absolute deadlines to what the calls of net take.
#pragma once

#include <coir/detail/clock.hpp>
#include <coir/net/expiry.hpp>
#include <coir/net/stream.hpp>

#include <chrono>

namespace coir::net::detail {

/// How long it is until then, which must not be `never`; negative when it has passed.
inline std::chrono::nanoseconds time_left(coir::detail::deadline until) noexcept {
  return std::chrono::nanoseconds(until - coir::detail::now_ns());
}

inline time_limit limit_of(coir::detail::deadline until) noexcept {
  if (until == coir::detail::never) return {};
  return time_left(until);
}

inline void expire_reads_at(stream& s, coir::detail::deadline until) noexcept {
  if (until == coir::detail::never) return s.reads_expire_never();
  s.reads_expire_after(time_left(until));
}

inline void expire_writes_at(stream& s, coir::detail::deadline until) noexcept {
  if (until == coir::detail::never) return s.writes_expire_never();
  s.writes_expire_after(time_left(until));
}

}  // namespace coir::net::detail
