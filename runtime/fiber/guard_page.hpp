/// Guards below stacks: touching one is a fault, not silent damage of a neighbour.
#pragma once

#include <cstddef>

namespace coir::detail {

inline constexpr std::size_t page_bytes = 4096;

/// Several pages, because a frame with a large buffer steps over a single one without touching it;
/// they cost address space only. An odd number: see stride() in fiber_pool.cpp.
inline constexpr std::size_t guard_bytes = 9 * page_bytes;

/// Makes the guard_bytes at `start` fault on access. Takes MADV_GUARD_INSTALL (Linux 6.13), which
/// costs no mapping; where that is missing, or the memory is locked, mprotect under a budget,
/// because each such guard costs two of the process's vm.max_map_count mappings and past that limit
/// even malloc fails. Returns false when they stay unguarded; says so on stderr once.
bool install_guard(std::byte* start) noexcept;

}  // namespace coir::detail
