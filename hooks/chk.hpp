/// What the fortified twins (`__read_chk` and its like, which -D_FORTIFY_SOURCE makes programs
/// call) keep: the size of the buffer as the compiler knows it is checked before anything else
/// happens.
#pragma once

#include <cstddef>

extern "C" [[noreturn]] void __chk_fail();  // libc's: reports a buffer overflow and aborts

namespace coir::hooks {

/// Ends the process, as libc does, when a call would write past the end of its buffer.
inline void check_capacity(std::size_t size, std::size_t capacity) {
  if (size > capacity) __chk_fail();
}

}  // namespace coir::hooks
