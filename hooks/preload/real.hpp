/// The real functions behind the hooks that only the preload library has; see hooks/real.hpp.
///
/// Each family lists its own in its header or source by COIR_DEFINE_REAL; what several families
/// need stands here.
#pragma once

#include "hooks/real.hpp"

#include <pthread.h>

// A function type as template argument loses its attributes, which is no loss here.
// clang-format off
/// Defines `real::name`, libc's own function behind the hook of that name, for one that is variadic
/// or not declared anywhere: its type follows. A constructor looks it up, so that its first call
/// may be in a signal handler.
#define COIR_DEFINE_REAL_AS(name, ...)                                       \
  namespace coir::hooks::real {                                              \
  _Pragma("GCC diagnostic push")                                             \
  _Pragma("GCC diagnostic ignored \"-Wignored-attributes\"")                 \
  inline constinit real_function<__VA_ARGS__> name{#name, required{}};       \
  _Pragma("GCC diagnostic pop")                                              \
  [[gnu::constructor]] inline void look_up_##name() noexcept { name.get(); } \
  }                                                                          \
  static_assert(true, "a semicolon follows")
// clang-format on

/// The same for a function that a header declares.
#define COIR_DEFINE_REAL(name) COIR_DEFINE_REAL_AS(name, decltype(::name))
