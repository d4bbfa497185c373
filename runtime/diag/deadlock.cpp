// Whether anything can still wake a worker whose fibers all wait for each other. It is asked only
// once the worker has been idle for a while, so it may read files.
#include <coir/exceptions.hpp>

#include "runtime/diag/wait_graph.hpp"
#include "runtime/kernel/report.hpp"
#include "runtime/kernel/thread_host.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include <dirent.h>

namespace coir::detail {
namespace {

constexpr char offload_name[] = "coir-offload";

/// Threads that wake nobody of their own accord: those for blocking work, whose fibers wait with a
/// reason of their own, the monitor of blocked workers, the reaper of children, and the kernel's
/// workers of a ring.
bool is_ours(const char* thread_name) noexcept {
  return std::strncmp(thread_name, offload_name, sizeof offload_name - 1) == 0 ||
         std::strncmp(thread_name, "coir-monitor", 12) == 0 ||
         std::strncmp(thread_name, "coir-reaper", 11) == 0 ||
         std::strncmp(thread_name, "iou-wrk-", 8) == 0;
}

bool is_thread_ours(const char* id) noexcept {
  const std::string path = std::string("/proc/self/task/") + id + "/comm";
  std::FILE* const file = std::fopen(path.c_str(), "re");
  if (!file) return true;  // it has ended meanwhile
  char name[32] = {};
  const bool is_read = std::fgets(name, sizeof name, file) != nullptr;
  std::fclose(file);
  return is_read && is_ours(name);
}

/// True when the process has a thread, besides the calling one, that might wake a fiber; also when
/// that cannot be found out.
bool has_other_threads() noexcept {
  const kernel::thread_host* const host = kernel::host_of_threads();
  const int others_in_host = host ? host->count_others(offload_name) : -1;
  if (others_in_host >= 0) return others_in_host > 0;
  DIR* const tasks = opendir("/proc/self/task");
  if (!tasks) return true;
  int others = 0;
  while (const dirent* entry = readdir(tasks)) {
    if (entry->d_name[0] != '.' && !is_thread_ours(entry->d_name)) ++others;
  }
  closedir(tasks);
  return others != 1;  // the caller itself
}

bool all_wait_for_each_other(worker& w) noexcept {
  bool they_do = true;
  w.for_each_fiber([&](const control_block& f) {
    if (f.state == fiber_state::free || f.state == fiber_state::ended || is_lent(f)) return;
    they_do &= is_for_fibers(f);
  });
  return they_do;
}

}  // namespace

void on_idle_without_timers(worker& w) noexcept {
  if (!all_wait_for_each_other(w) || has_other_threads()) return;
  if (w.has_arrivals()) return;  // by a thread that has ended since
  const std::string graph = wait_graph::describe_all(w);
  control_block& main = w.main_fiber();
  if (main.state == fiber_state::parked && main.is_interruptible) {
    const deadlock error("coir: nothing can wake the fibers of this thread:\n" + graph);
    return w.kill(main, std::make_exception_ptr(error));
  }
  kernel::report(
      "nothing can wake the fibers of this thread, and no exception may end the wait of "
      "the main fiber:");
  for (std::size_t at = 0; at < graph.size(); at = graph.find('\n', at) + 1) {
    kernel::report("%s", graph.substr(at, graph.find('\n', at) - at).c_str());
  }
  std::abort();
}

}  // namespace coir::detail
