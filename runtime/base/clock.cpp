#include <coir/detail/clock.hpp>

#include <atomic>
#include <ctime>

namespace coir::detail {
namespace {

constinit std::atomic<deadline> virtual_now{0};

}  // namespace

void set_virtual_now(deadline now) noexcept { virtual_now.store(now, std::memory_order_relaxed); }

deadline now_ns() noexcept {
  if (const deadline now = virtual_now.load(std::memory_order_relaxed); now != 0) [[unlikely]]
    return now;
  return real_now_ns();
}

deadline real_now_ns() noexcept {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);  // answered in user space; cannot fail for this clock
  return now.tv_sec * deadline{1'000'000'000} + now.tv_nsec;
}

}  // namespace coir::detail
