#include "runtime/fiber/guard_page.hpp"

#include "runtime/kernel/calls.hpp"
#include "runtime/kernel/report.hpp"

#include <atomic>
#include <cstdio>
#include <cstdlib>

#include <unistd.h>

namespace coir::detail {
namespace {

constexpr int madv_guard_install = 102;  // absent from the headers of Debian 12

std::atomic<bool> advice_works{true};
std::atomic<long> mprotect_left{-1};  // -1: not yet read

/// Half of the mappings that the process may have: a guard takes two, and the program needs the
/// rest.
long mprotect_budget() noexcept {
  long mappings_max = 65530;
  char text[32] = {};
  const int fd = static_cast<int>(
      kernel::call(SYS_openat, AT_FDCWD, "/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC, 0));
  if (fd >= 0) {
    if (kernel::read(fd, text, sizeof text - 1) > 0) mappings_max = std::atol(text);
    kernel::close(fd);
  }
  return mappings_max / 4;
}

bool take_from_budget() noexcept {
  long left = mprotect_left.load(std::memory_order_relaxed);
  if (left == -1) {
    mprotect_left.compare_exchange_strong(left, mprotect_budget());
    left = mprotect_left.load(std::memory_order_relaxed);
  }
  while (left > 0) {
    if (mprotect_left.compare_exchange_weak(left, left - 1)) return true;
  }
  return false;
}

void say_once_that_guards_ran_out() noexcept {
  static std::atomic<bool> said{false};
  if (said.exchange(true)) return;
  kernel::report(
      "further fiber stacks have no guard page: this kernel lacks MADV_GUARD_INSTALL (Linux 6.13) "
      "and half of "
      "vm.max_map_count is used; raise it with sysctl -w vm.max_map_count=N");
}

}  // namespace

bool install_guard(std::byte* start) noexcept {
  if (advice_works.load(std::memory_order_relaxed)) {
    if (kernel::madvise(start, guard_bytes, madv_guard_install) == 0) return true;
    advice_works.store(false, std::memory_order_relaxed);
  }
  if (take_from_budget() && kernel::call(SYS_mprotect, start, guard_bytes, PROT_NONE) == 0)
    return true;
  say_once_that_guards_ran_out();
  return false;
}

}  // namespace coir::detail
