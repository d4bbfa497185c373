/// Who runs: what each thread, and so each thread that is a fiber, has for itself.
#pragma once

#include <atomic>
#include <cstdint>

namespace coir::threads {

struct thread_fiber;

/// Kept in thread-local storage, and so right after every switch, which changes the thread pointer.
/// Compilers may keep its address: the same code sees the same thread pointer before and after.
struct per_thread {
  thread_fiber* self = nullptr;  ///< null on a kernel thread that is not ours
  int critical = 0;              ///< runtime sections that are open: signals wait for their end
  volatile bool has_deferred_signals = false;  ///< some came meanwhile
  std::atomic<std::uint64_t> deferred_here{};  ///< on a native thread: which
};

extern __thread per_thread here __attribute__((tls_model("initial-exec"), visibility("hidden")));

/// Runs the handlers of signals that came during a runtime section. Defined in signal_handlers.cpp.
void deliver_deferred_signals() noexcept;

/// No signal handler of the program runs inside one: it could call back into the runtime, which may
/// hold a lock. Sections nest, and one may be open over a switch: each side has its own count.
inline void enter_runtime() noexcept {
  here.critical = here.critical + 1;
  std::atomic_signal_fence(std::memory_order_seq_cst);
}
inline void leave_runtime() noexcept {
  std::atomic_signal_fence(std::memory_order_seq_cst);
  here.critical = here.critical - 1;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  if (__builtin_expect(here.has_deferred_signals, false) && here.critical == 0)
    deliver_deferred_signals();
}

}  // namespace coir::threads
