#include "runtime/io/thread_scheduler.hpp"

#include "runtime/sched/worker.hpp"

#include <atomic>

namespace coir::io {
namespace {

constinit std::atomic<thread_scheduler*> registered{nullptr};

}  // namespace

void use_thread_scheduler(thread_scheduler& scheduler) noexcept {
  registered.store(&scheduler, std::memory_order_release);
}

thread_scheduler* registered_threads() noexcept {
  return registered.load(std::memory_order_acquire);
}

thread_scheduler* threads_of_caller() noexcept {
  thread_scheduler* const scheduler = registered_threads();
  if (!scheduler || !scheduler->may_park()) return nullptr;
  // On a worker its own fibers come first: the thread itself waits only in the worker's loop.
  return detail::worker::current_or_null() ? nullptr : scheduler;
}

}  // namespace coir::io
