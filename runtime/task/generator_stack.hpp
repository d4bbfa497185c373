/// Where a fiber is among generators, for reports.
#pragma once

#include "runtime/fiber/control_block.hpp"

namespace coir::detail {

/// The control block of the innermost generator in whose body `f` is; null when it is in none. The
/// worker's thread only; never parks.
const control_block* innermost_generator(const control_block& f) noexcept;

}  // namespace coir::detail
