/// Threads for what can only block: files without a ring, and the user's own blocking work.
#pragma once

#include "runtime/io/offload_threads.hpp"

#include <cstdint>

namespace coir::io {

/// Calls `work(argument)`, which must not throw, on one of the process's own offload threads, of
/// which COIR_OFFLOAD_THREADS says how many there may be, and parks the running fiber until it has
/// returned; a kill is kept until then. 0, or -errno when not a single thread could be started.
int run_offloaded_or_error(void (*work)(void*), void* argument) noexcept;
/// The same on other threads.
int run_offloaded_or_error(offload_threads& threads, void (*work)(void*), void* argument) noexcept;

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
