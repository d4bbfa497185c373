#include "hooks/threads/settings.hpp"

#include "runtime/kernel/report.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include <sched.h>

namespace coir::threads {
namespace {

constinit thread_settings read{};

/// The number in a variable; `fallback` when it is unset, or no number between `least` and `most`,
/// which is said.
long number(const char* name, long least, long most, long fallback) noexcept {
  const char* const text = std::getenv(name);
  if (!text || !*text) return fallback;
  char* end = nullptr;
  errno = 0;
  const long value = std::strtol(text, &end, 10);
  if (*end == '\0' && errno == 0 && value >= least && value <= most) return value;
  kernel::report("%s=%s is no number from %ld to %ld: %ld is used", name, text, least, most,
                 fallback);
  return fallback;
}

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
  read.tokens = static_cast<int>(number("COIR_WORKERS", 1, 1024, allowed_processors()));
  read.kernel_threads_max = static_cast<int>(number("COIR_KERNEL_THREADS", 2, 4000, 512));
  read.monitor_us = number("COIR_MONITOR_US", 100, 1'000'000, 2000);
  read.stack_bytes = static_cast<std::size_t>(number("COIR_STACK", 16 * 1024, 1L << 40, 0));
  read.report = std::getenv("COIR_REPORT");
  if (read.report && (!*read.report || std::strcmp(read.report, "0") == 0)) read.report = nullptr;
  errno = saved_errno;
}

}  // namespace coir::threads
