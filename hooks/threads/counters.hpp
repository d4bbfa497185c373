/// What the runtime of threads counts.
#pragma once

#include "hooks/threads/wiped.hpp"

#include <atomic>
#include <cstdint>

namespace coir::threads {

enum class counter : int {
  threads,           ///< made as fibers
  native_threads,    ///< left to the kernel
  descriptor_parks,  ///< waits for descriptors
  address_parks,     ///< waits for locks, conditions and the like
  sleeps,
  regions,     ///< calls that are known to block, made without a token
  hand_overs,  ///< tokens taken away by the monitor
  last
};

struct counters_state {
  std::atomic<std::uint64_t> values[static_cast<int>(counter::last)];
};
extern wiped<counters_state> counters;

inline void count(counter which) noexcept {
  counters->values[static_cast<int>(which)].fetch_add(1, std::memory_order_relaxed);
}
inline std::uint64_t counted(counter which) noexcept {
  return counters->values[static_cast<int>(which)].load(std::memory_order_relaxed);
}

/// For the start: true when the memory can be wiped on fork.
bool start_counting() noexcept;

}  // namespace coir::threads
