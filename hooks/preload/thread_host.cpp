// The runtime of threads as the program's own coir sees it: see runtime/kernel/thread_host.hpp. A
// program that links libcoir.so has one runtime with this library, one that has coir linked in has
// two; both come by here, so that a worker's idle wait is a wait of its thread.
#include "runtime/kernel/thread_host.hpp"

#include "hooks/preload/preload.hpp"
#include "hooks/threads/descriptors.hpp"
#include "hooks/threads/parking_lot.hpp"
#include "hooks/threads/settings.hpp"
#include "runtime/kernel/thread_state.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>

using namespace coir;
using namespace coir::hooks;

namespace {

bool await_readable(int fd, std::int64_t until) noexcept {
  return parking_fiber() && threads::await_own_descriptor(fd, POLLIN, until);
}

bool await_change(const std::uint32_t* word, std::uint32_t expected, std::int64_t until) noexcept {
  if (!parking_fiber()) return false;
  threads::rejoin_if_stuck();
  threads::wait_at(word, {.until = until},
                   [&]() noexcept { return __atomic_load_n(word, __ATOMIC_SEQ_CST) == expected; });
  return true;
}

int wake(const std::uint32_t* word, int how_many) noexcept {
  if (!threads::sched->is_on.load(std::memory_order_relaxed)) return 0;
  return threads::wake_at(word, how_many);
}

bool begin_blocking() noexcept {
  const threads::thread_fiber* const self = parking_fiber();
  if (!self || self->is_in_region) return false;
  threads::enter_region();
  return true;
}

void give_way() noexcept {
  if (parking_fiber()) threads::count_call();
}

void before_close(int fd) noexcept {
  if (threads::sched->is_on.load(std::memory_order_relaxed)) threads::keep_for_waiters(fd);
}

/// How many threads the kernel has for the process; 0 when that cannot be read.
int count_kernel_threads() noexcept {
  char text[4096];
  if (kernel::read_file("/proc/self/status", text, sizeof text) < 0) return 0;
  constexpr char field[] = "\nThreads:";
  const char* const found = std::strstr(text, field);
  return found ? static_cast<int>(std::strtol(found + sizeof field - 1, nullptr, 10)) : 0;
}

int count_others(const char* but) noexcept {
  const threads::thread_fiber* const self = threads::current();
  if (!self) return -1;
  constexpr int monitor = 1;
  // Native threads; none can be told from a carrier that is about to begin.
  int others = std::max(0, count_kernel_threads() - monitor -
                               threads::sched->carrier_count.load(std::memory_order_acquire));
  if (self != &threads::main_thread && !threads::sched->main_has_exited.load()) ++others;
  const std::size_t length = std::strlen(but);
  const threads::guard hold(threads::sched->threads_lock);
  for (const threads::thread_fiber* f = threads::sched->newest; f; f = f->older)
    if (f != self && std::strncmp(f->name, but, length) != 0) ++others;
  return others;
}

constexpr kernel::thread_host host{
    .await_readable = &await_readable,
    .await_change = &await_change,
    .wake = &wake,
    .begin_blocking = &begin_blocking,
    .end_blocking = &threads::leave_region,
    .give_way = &give_way,
    .before_close = &before_close,
    .count_others = &count_others,
};

}  // namespace

/// Null where threads stay the kernel's because COIR_MODE says so.
extern "C" __attribute__((visibility("default"))) const kernel::thread_host*
coir_thread_host_v1() noexcept {
  return threads::settings().makes_fibers ? &host : nullptr;
}
