/// The last step of a hook.
#pragma once

#include <sys/types.h>

namespace coir::hooks {

/// A negative errno becomes -1 and errno, an interruption the one that fits it; success leaves
/// errno alone. Never inlined, because compilers keep errno's address in a register over a park,
/// and with it perhaps another fiber's errno. Any thread; never parks.
[[gnu::noinline]] ssize_t finish(ssize_t result) noexcept;
[[gnu::noinline]] int finish(int result) noexcept;

}  // namespace coir::hooks
