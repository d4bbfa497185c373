#include "hooks/threads/settings.hpp"

#include "runtime/kernel/environment.hpp"
#include "runtime/kernel/report.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include <sched.h>

namespace coir::threads {
namespace {

constinit thread_settings read{};

int allowed_processors() noexcept {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

bool wants_fibers() noexcept {
  const char* const mode = std::getenv("COIR_MODE");
  if (!mode || !*mode || std::strcmp(mode, "fiber") == 0) return true;
  if (std::strcmp(mode, "thread") == 0 || std::strcmp(mode, "off") == 0) return false;
  kernel::report("COIR_MODE=%s is none of fiber, thread, off: fiber is used", mode);
  return true;
}

}  // namespace

const thread_settings& settings() noexcept { return read; }

void read_settings() noexcept {
  const int saved_errno = errno;
  read.makes_fibers = wants_fibers();
  const auto processors = static_cast<std::uint64_t>(allowed_processors());
  read.tokens = static_cast<int>(kernel::number_said("COIR_WORKERS", 1, 1024, processors));
  read.kernel_threads_max =
      static_cast<int>(kernel::number_said("COIR_KERNEL_THREADS", 2, 4000, 512));
  read.monitor_us =
      static_cast<std::int64_t>(kernel::number_said("COIR_MONITOR_US", 100, 1'000'000, 2000));
  read.stack_bytes = kernel::number_said("COIR_STACK", 16 * 1024, std::uint64_t{1} << 40, 0);
  read.report = std::getenv("COIR_REPORT");
  if (read.report && (!*read.report || std::strcmp(read.report, "0") == 0)) read.report = nullptr;
  errno = saved_errno;
}

}  // namespace coir::threads
