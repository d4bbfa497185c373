/// Clocks of processor time, which the kernel keeps for its threads.
#pragma once

#include "runtime/kernel/syscall.hpp"

#include <cstdint>
#include <ctime>

namespace coir::threads {

/// What a clock shows, in ns; 0 when there is no such clock.
inline std::int64_t clock_time_ns(clockid_t clock) noexcept {
  timespec now{};
  kernel::call(SYS_clock_gettime, clock, &now);
  return now.tv_sec * std::int64_t{1'000'000'000} + now.tv_nsec;
}

}  // namespace coir::threads
