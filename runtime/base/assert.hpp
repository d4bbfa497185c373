/// Assertions: a broken invariant is a bug in coir, never bad input. They stay on in release
/// builds.
#pragma once

#include <atomic>

namespace coir::detail {

/// Prints `expression`, its place and what the running fiber was doing, then aborts. Any thread.
[[noreturn, gnu::cold]] void assertion_failed(const char* expression, const char* file,
                                              int line) noexcept;

/// Writes a description of the running fiber to stderr; set by the scheduler, null before that.
extern std::atomic<void (*)() noexcept> describe_running_fiber;

}  // namespace coir::detail

#define COIR_ASSERT(expression)        \
  (__builtin_expect(!!(expression), 1) \
       ? static_cast<void>(0)          \
       : ::coir::detail::assertion_failed(#expression, __FILE__, __LINE__))
