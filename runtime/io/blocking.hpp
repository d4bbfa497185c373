/// Operations that no readiness announces: performed by the ring, or by an offload thread where
/// there is none.
#pragma once

#include "runtime/reactor/operation.hpp"

#include <coir/detail/clock.hpp>

namespace coir::io {

/// Fills the fields of `op` apart, awaits it, and returns its result or -errno. A kill or the
/// deadline asks to cancel; the caller's buffers are free in any case when it returns. An offload
/// thread cannot be asked: it finishes first.
std::int64_t perform(detail::operation& op, detail::deadline until) noexcept;

}  // namespace coir::io
