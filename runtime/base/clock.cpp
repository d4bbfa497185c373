#include <coir/detail/clock.hpp>

#include <ctime>

namespace coir::detail {

deadline now_ns() noexcept {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);  // answered in user space; cannot fail for this clock
  return now.tv_sec * deadline{1'000'000'000} + now.tv_nsec;
}

}  // namespace coir::detail
