/// Threads for what can only block: files without a ring, name look-ups, and the user's own
/// blocking work.
#pragma once

#include <coir/detail/wait_queue.hpp>

#include <cstdint>

namespace coir::io {

/// Work for an offload thread. Owned by whoever submits it, until `run` begins; that call may free
/// it.
struct offload_job {
  offload_job* next = nullptr;
  void (*run)(offload_job&) noexcept = nullptr;
};

/// Queues `job` for an offload thread, starting one when all are busy and fewer run than
/// COIR_OFFLOAD_THREADS allows. 0, or -errno when not a single thread could be started; the job is
/// then the caller's again. Any thread; never parks.
int submit_offload(offload_job& job) noexcept;

/// Calls `work(argument)`, which must not throw, on an offload thread and parks the running fiber
/// until it has returned; a kill is kept until then. 0 or -errno as submit_offload.
int run_offloaded_or_error(void (*work)(void*), void* argument) noexcept;

/// Calls `f()`, which returns a value or -errno, on an offload thread; returns that, or the -errno
/// of run_offloaded.
template <class Function>
std::int64_t offload_or_error(Function f) noexcept {
  struct call {
    Function& f;
    std::int64_t result;
  } c{f, 0};
  const int error = run_offloaded_or_error(
      [](void* argument) {
        call& own = *static_cast<call*>(argument);
        own.result = own.f();
      },
      &c);
  return error < 0 ? error : c.result;
}

}  // namespace coir::io
