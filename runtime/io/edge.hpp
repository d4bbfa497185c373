/// The edge between the cooperative calls, which return -errno, and the error codes and exceptions
/// of what C++ programs call.
#pragma once

#include <coir/export.hpp>

#include <string>
#include <system_error>

#include <sys/types.h>

namespace coir::detail {

/// The code of a failed call's -errno.
inline std::error_code code_of(long negative_errno) noexcept {
  return {static_cast<int>(-negative_errno), std::system_category()};
}

/// Makes the calling thread a worker if it is none; false with `ec` set when that is impossible.
COIR_API bool ensure_worker(std::error_code& ec);

/// The value of a cooperative call, or 0 with `ec` set. Throws what interrupted the wait; what the
/// caller holds must be released by destructors.
COIR_API std::size_t finish(ssize_t result, std::error_code& ec);

/// Throws std::system_error saying "`what`: message of `ec`".
[[noreturn]] COIR_API void throw_error(const std::error_code& ec, const std::string& what);

}  // namespace coir::detail
