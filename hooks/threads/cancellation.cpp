#include "hooks/threads/cancellation.hpp"

#include "hooks/threads/machine.hpp"
#include "hooks/threads/ready.hpp"
#include "hooks/threads/signal_actions.hpp"
#include "hooks/threads/thread_memory.hpp"
#include "runtime/kernel/calls.hpp"

#include <atomic>
#include <csignal>

#include <unistd.h>

namespace coir::threads {
namespace {

constexpr int cancel_signal = 32;  // libc's own
constinit std::atomic<long_handler> libcs_cancel_handler{};

/// libc's handler cancels whoever runs it. A carrier may run another fiber by the time the signal
/// comes, which is to live on: that one has no cancellation under way.
void on_cancel_signal(int signal, siginfo_t* info, void* context) {
  std::atomic<int>& word = cancel_word(threads::thread_pointer());
  if (!(word.load(std::memory_order_relaxed) & cancel_is_under_way)) return;
  if (here.self && (here.self->is_hub || here.critical > 0)) {
    word.fetch_or(cancel_was_asked, std::memory_order_relaxed);  // for the end of the park
    return;
  }
  libcs_cancel_handler.load(std::memory_order_relaxed)(signal, info, context);
}

/// libc sets its handler when it cancels for the first time.
void stand_before_libcs_cancel_handler() noexcept {
  kernel_action action;
  if (kernel_sigaction(cancel_signal, nullptr, &action) != 0) return;
  const auto handler = reinterpret_cast<long_handler>(reinterpret_cast<void*>(action.handler));
  if (!is_function(action.handler) || handler == &on_cancel_signal) return;
  libcs_cancel_handler.store(handler, std::memory_order_relaxed);
  action.handler = reinterpret_cast<void (*)(int)>(reinterpret_cast<void*>(&on_cancel_signal));
  kernel_sigaction(cancel_signal, &action, nullptr);
}

}  // namespace

bool is_cancelled(const thread_fiber& fiber) noexcept { return is_cancelled(fiber.thread_pointer); }

bool is_cancelled(std::uintptr_t thread_pointer) noexcept {
  const int state = cancel_word(thread_pointer).load(std::memory_order_relaxed);
  return (state & (cancel_is_disabled | cancel_was_asked | cancel_is_exiting)) == cancel_was_asked;
}

void interrupt_for_cancellation(thread_fiber& fiber) noexcept {
  stand_before_libcs_cancel_handler();
  carrier* const c = fiber.on;
  if (c && c->running == &fiber && here.self != &fiber)
    kernel::call(SYS_tgkill, ::getpid(), c->tid, cancel_signal);
  wake(fiber);
}

}  // namespace coir::threads
