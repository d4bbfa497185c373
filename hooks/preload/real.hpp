/// The real functions behind the hooks that only the preload library has; see hooks/real.hpp.
///
/// Each family lists its own in its header or source by COIR_DEFINE_REAL; what several families
/// need stands here.
#pragma once

#include "hooks/real.hpp"

#include <pthread.h>

/// Defines `real::name`, libc's own function behind the hook of that name. It is looked up at its
/// first call, which must not be in a signal handler: look_up_early makes that sure.
#define COIR_DEFINE_REAL(name)                                                                   \
  namespace coir::hooks::real {                                                                  \
  _Pragma("GCC diagnostic push")                                                                 \
      _Pragma("GCC diagnostic ignored \"-Wignored-attributes\"") inline constinit real_function< \
          decltype(::name)> name{#name, required{}};                                             \
  _Pragma("GCC diagnostic pop") [[gnu::constructor]] inline void look_up_##name() noexcept {     \
    name.get();                                                                                  \
  }                                                                                              \
  }                                                                                              \
  static_assert(true, "a semicolon follows")
