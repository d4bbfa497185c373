#include "hooks/launcher/machine.hpp"

#include <cerrno>
#include <fstream>

#include <linux/io_uring.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace coir::launcher {
namespace {

constexpr rlim_t descriptors_wanted = 1024;  // what systems give; a thread has often one of its own
constexpr long mappings_wanted = 65530;      // the kernel's default; a stack and its guard are two

machine_fact descriptors() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  const std::string text =
      "RLIMIT_NOFILE " +
      (limit.rlim_cur == RLIM_INFINITY ? std::string("unlimited") : std::to_string(limit.rlim_cur));
  if (limit.rlim_cur >= descriptors_wanted) return {text, true};
  return {text + " is little: raise it (ulimit -n)", false};
}

machine_fact mappings() {
  long count = 0;
  if (!(std::ifstream("/proc/sys/vm/max_map_count") >> count))
    return {"vm.max_map_count cannot be read", true};
  const std::string text = "vm.max_map_count " + std::to_string(count);
  if (count >= mappings_wanted) return {text, true};
  return {text + " allows about " + std::to_string(count / 2) + " fibers", false};
}

/// Asked by making a ring: besides kernel.io_uring_disabled a container may forbid it.
machine_fact rings() {
  int disabled = 0;
  std::ifstream("/proc/sys/kernel/io_uring_disabled") >> disabled;
  io_uring_params parameters{};
  const long ring = syscall(SYS_io_uring_setup, 1, &parameters);
  if (ring >= 0) {
    close(static_cast<int>(ring));
    return {"io_uring allowed", true};
  }
  // Thread-fibers wait by epoll anyway.
  if (disabled) return {"io_uring_disabled " + std::to_string(disabled) + ": epoll is used", true};
  return {errno == ENOMEM ? "io_uring has no memory: epoll is used"
                          : "io_uring not allowed here: epoll is used",
          true};
}

#if defined(__x86_64__)
machine_fact thread_pointer() {
  constexpr unsigned long has_fsgsbase = 1UL << 1;
  if (getauxval(AT_HWCAP2) & has_fsgsbase) return {"FSGSBASE", true};
  return {"no FSGSBASE: each switch costs a system call", false};
}
#else
machine_fact thread_pointer() { return {"thread pointer writable", true}; }
#endif

}  // namespace

std::vector<machine_fact> look_at_machine() {
  return {descriptors(), mappings(), rings(), thread_pointer()};
}

}  // namespace coir::launcher
