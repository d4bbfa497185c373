/// Lines on stderr for the operator: one raw write each, so that they neither mix nor meet a hook.
#pragma once

#include <coir/export.hpp>

namespace coir::kernel {

/// Writes "coir: ", the formatted text and a newline to stderr. Any thread; does not touch errno.
[[gnu::format(printf, 1, 2)]] COIR_API void report(const char* format, ...) noexcept;

}  // namespace coir::kernel
