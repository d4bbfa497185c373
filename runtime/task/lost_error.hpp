/// Exceptions that have nobody to go to.
#pragma once

#include <exception>

namespace coir::detail {

/// Says on stderr that `what` (such as "a context that was destroyed") failed with `error`. Any
/// thread; never parks.
void report_lost_error(const char* what, const std::exception_ptr& error) noexcept;

/// True for a coir::fiber_exit. Any thread; never parks.
bool is_fiber_exit(const std::exception_ptr& error) noexcept;

}  // namespace coir::detail
