/// The last step of a hook.
#pragma once

#include <sys/types.h>

namespace coir::hooks {

/// A negative errno becomes -1 and errno, an interruption the one that fits it; success leaves
/// errno alone. Never inlined, because compilers keep errno's address in a register over a park,
/// and with it perhaps another fiber's errno. Any thread; never parks.
/// A thread of the preload library that was cancelled ends here, by unwinding, when the result is
/// -ECANCELED.
[[gnu::noinline]] ssize_t finish(ssize_t result);
[[gnu::noinline]] int finish(int result);

}  // namespace coir::hooks
