#include "runtime/task/fiber_start.hpp"

#include "runtime/fiber/fiber_pool.hpp"
#include "runtime/kernel/environment.hpp"

#include <atomic>

#include <sys/single_threaded.h>

namespace coir::detail {
namespace {

constexpr std::size_t default_stack_bytes = 256 * 1024;

std::atomic<std::uint64_t> last_id{0};

/// COIR_STACK in bytes, or the default; read once.
std::size_t stack_bytes_unless_said() noexcept {
  static const std::size_t bytes = kernel::number_said(
      "COIR_STACK", fiber_pool::stack_bytes_min, fiber_pool::stack_bytes_max, default_stack_bytes);
  return bytes;
}

}  // namespace

std::uint64_t next_fiber_id() noexcept {
  if (!__libc_single_threaded) return last_id.fetch_add(1, std::memory_order_relaxed) + 1;
  const std::uint64_t id = last_id.load(std::memory_order_relaxed) + 1;
  last_id.store(id, std::memory_order_relaxed);
  return id;
}

std::size_t stack_bytes_or_default(std::size_t asked) noexcept {
  return asked ? asked : stack_bytes_unless_said();
}

}  // namespace coir::detail
