/// What every fiber, raw context and generator gets at its start.
#pragma once

#include <cstddef>
#include <cstdint>

namespace coir::detail {

/// A number for reports, unique in the process. Any thread; never parks.
std::uint64_t next_fiber_id() noexcept;

/// The size of a stack: `asked`, or where that is 0 COIR_STACK, read once, or 256 KiB. Any thread;
/// never parks.
std::size_t stack_bytes_or_default(std::size_t asked) noexcept;

}  // namespace coir::detail
