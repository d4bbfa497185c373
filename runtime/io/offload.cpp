// The process's own offload threads, and fibers that wait for them.
#include "runtime/io/offload.hpp"

#include "runtime/io/library_state.hpp"
#include "runtime/kernel/environment.hpp"
#include "runtime/sched/worker.hpp"

#include <coir/offload.hpp>

#include <atomic>
#include <cstddef>
#include <new>
#include <system_error>

namespace coir::io {
namespace {

// Deep enough for a disk; each costs a stack, not a processor
constexpr int threads_max_default = 8;
constexpr int threads_max_limit = 1024;

/// COIR_OFFLOAD_THREADS, or the default; read once.
int threads_max() noexcept {
  static const auto count = static_cast<int>(
      kernel::number_said("COIR_OFFLOAD_THREADS", 1, threads_max_limit, threads_max_default));
  return count;
}

/// The process's own threads, which stay: never destroyed, since they may be busy at its end.
offload_threads& process_threads() noexcept {
  alignas(offload_threads) static std::byte memory[sizeof(offload_threads)];
  static offload_threads* const only =
      new (memory) offload_threads(static_cast<std::size_t>(threads_max()), "coir-offload");
  return *only;
}

/// A job on the stack of the fiber that waits for it.
struct awaited_job final : offload_job {
  void (*work)(void*);
  void* argument;
  detail::control_block* waiter;
  std::atomic<bool> is_done{false};
};

void run_awaited(offload_job& job) noexcept {
  auto& own = static_cast<awaited_job&>(job);
  own.work(own.argument);
}

void wake_waiter(offload_job& job) noexcept {
  auto& own = static_cast<awaited_job&>(job);
  detail::control_block& waiter = *own.waiter;
  // The last touch: the fiber may go on and leave its frame
  own.is_done.store(true, std::memory_order_release);
  detail::worker::wake(waiter);
}

}  // namespace

int run_offloaded_or_error(void (*work)(void*), void* argument) noexcept {
  return run_offloaded_or_error(process_threads(), work, argument);
}

int run_offloaded_or_error(offload_threads& threads, void (*work)(void*), void* argument) noexcept {
  detail::worker& w = *detail::worker::current_or_null();
  awaited_job job;
  job.run = run_awaited;
  job.done = wake_waiter;
  job.work = work;
  job.argument = argument;
  job.waiter = w.running;
  const int error = threads.submit(job);
  if (error < 0) return error;
  const own_library_state kept;
  while (!job.is_done.load(std::memory_order_acquire)) {
    w.park(detail::wait_reason::offload, detail::never, detail::interruptible::no);
  }
  return 0;
}

}  // namespace coir::io

void coir::detail::run_offloaded(void (*work)(void*), void* argument) {
  worker::current();
  const int error = io::run_offloaded_or_error(work, argument);
  if (error < 0) {
    throw std::system_error(
        -error, std::generic_category(),
        "coir: cannot start a thread for blocking work; raise ulimit -u or lower "
        "COIR_OFFLOAD_THREADS");
  }
}
