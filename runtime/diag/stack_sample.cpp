#include "runtime/diag/stack_sample.hpp"

#include "runtime/kernel/calls.hpp"
#include "runtime/kernel/thread_state.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>

#include <execinfo.h>
#include <signal.h>
#include <ucontext.h>

namespace coir::detail {
namespace {

constexpr int frames_max = 64;
// A thread that can run answers within microseconds; on a machine with too few processors it may
// have to wait for its turn
constexpr std::int64_t answer_ns_max = 250'000'000;

enum sample_state : std::uint32_t { idle, asked, filling, filled };

/// The one sample there is at a time. What is not atomic belongs to the handler in the state
/// `filling`, and to the asker else.
struct shared_sample {
  std::atomic<std::uint32_t> state{idle};
  std::atomic<const worker*> whose{nullptr};
  std::uint64_t seen = 0;
  bool has_gone_on = false;
  int count = 0;
  void* frames[frames_max] = {};
};
constinit shared_sample shared;

/// Where the signal came.
void* interrupted_at(const void* machine) noexcept {
  const auto& registers = static_cast<const ucontext_t*>(machine)->uc_mcontext;
#if defined(__x86_64__)
  return reinterpret_cast<void*>(registers.gregs[REG_RIP]);
#elif defined(__aarch64__)
  return reinterpret_cast<void*>(registers.pc);
#endif
}

/// Drops the frames of the handler, if those of the interrupted code can be told from them.
int without_handler(void** frames, int count, void* interrupted) noexcept {
  void** const first = std::find(frames, frames + count, interrupted);
  if (first == frames + count) return count;
  std::copy(first, frames + count, frames);
  return static_cast<int>(frames + count - first);
}

void fill(const void* machine) noexcept {
  const worker* const w = worker::current_or_null();
  if (!w || shared.whose.load(std::memory_order_acquire) != w) return;
  std::uint32_t expected = asked;
  if (!shared.state.compare_exchange_strong(expected, filling, std::memory_order_acq_rel)) return;
  shared.has_gone_on = progress_of(*w) != shared.seen;
  shared.count = shared.has_gone_on ? 0 : ::backtrace(shared.frames, frames_max);
  shared.count = without_handler(shared.frames, shared.count, interrupted_at(machine));
  shared.state.store(filled, std::memory_order_release);
  kernel::futex_wake(&shared.state, 1);
}

void on_signal(int, siginfo_t*, void* machine) {
  const int saved = errno;
  fill(machine);
  errno = saved;
}

/// False when SIGURG is the program's.
bool has_handler() noexcept {
  struct sigaction now {};
  if (sigaction(SIGURG, nullptr, &now) != 0) return false;
  if ((now.sa_flags & SA_SIGINFO) != 0) return now.sa_sigaction == on_signal;
  if (now.sa_handler != SIG_DFL) return false;
  now = {};
  now.sa_sigaction = on_signal;
  now.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
  sigfillset(&now.sa_mask);
  return sigaction(SIGURG, &now, nullptr) == 0;
}

/// Signals the thread, if it still is that of the worker.
bool send(const worker& w, int thread) noexcept {
  bool is_sent = false;
  const locked_registry registry;
  registry.for_each([&](const worker& one) {
    if (&one != &w || one.thread_id() != thread) return;
    is_sent = kernel::call(SYS_tgkill, kernel::call(SYS_getpid), thread, SIGURG) == 0;
  });
  return is_sent;
}

bool wait_for_answer() noexcept {
  const deadline until = real_now_ns() + answer_ns_max;
  for (;;) {
    const std::uint32_t now = shared.state.load(std::memory_order_acquire);
    if (now == filled) return true;
    if (real_now_ns() >= until) break;
    kernel::futex_wait_until(&shared.state, now, until);
  }
  std::uint32_t expected = asked;
  if (shared.state.compare_exchange_strong(expected, idle, std::memory_order_acq_rel)) return false;
  return shared.state.load(std::memory_order_acquire) == filled;
}

}  // namespace

void prepare_stack_samples() noexcept {
  shared.state.store(idle, std::memory_order_release);  // in the child of a fork
  void* first[1];
  ::backtrace(first, 1);  // loads the unwinder, which a handler must not
}

stack_sample sample_stack(worker& w, int thread, std::uint64_t seen) {
  stack_sample sample;
  sample.frames.reserve(frames_max);
  if (!has_handler()) {
    sample.failure = "the program has an action of its own for SIGURG";
  } else if (kernel::has_blocked_signal(thread, SIGURG)) {
    sample.failure = "the thread has blocked SIGURG";
  }
  if (sample.failure) return sample;
  // One whose handler was begun and has not ended is left to it
  if (shared.state.load(std::memory_order_acquire) == filled)
    shared.state.store(idle, std::memory_order_relaxed);
  if (shared.state.load(std::memory_order_acquire) != idle) {
    sample.failure = "another thread has not answered yet";
    return sample;
  }
  shared.seen = seen;
  shared.whose.store(&w, std::memory_order_release);
  shared.state.store(asked, std::memory_order_release);
  if (send(w, thread) && wait_for_answer()) {
    sample.frames.assign(shared.frames, shared.frames + shared.count);
    sample.has_gone_on = shared.has_gone_on;
    if (sample.frames.empty()) sample.failure = "it cannot be unwound";
    shared.state.store(idle, std::memory_order_relaxed);
    return sample;
  }
  std::uint32_t expected = asked;
  shared.state.compare_exchange_strong(expected, idle, std::memory_order_acq_rel);
  sample.failure = "the thread did not answer the signal in time";
  return sample;
}

}  // namespace coir::detail
