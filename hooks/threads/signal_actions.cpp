#include "hooks/threads/signal_actions.hpp"

#include "runtime/kernel/calls.hpp"

#include <atomic>
#include <cerrno>

namespace coir::threads {
namespace {

constexpr unsigned long flag_restorer = 0x04000000;

// What the program has set. It survives a fork, as the handlers do. The table is read in signal
// handlers: an action is changed while its signal is blocked on the changing thread, and `version`
// is odd meanwhile.
struct program_action {
  std::atomic<unsigned> version;
  kernel_action action;
  std::atomic<bool> is_taken_over;  ///< the kernel calls our handler for it
};
constinit program_action actions[signals_max + 1]{};
constinit std::atomic<bool> has_taken_over{false};

void (*restorer)() = nullptr;
constinit long_handler handler_of_all = nullptr;

void take_over(int signal, const kernel_action& wanted) noexcept {
  program_action& entry = actions[signal];
  entry.version.fetch_add(1, std::memory_order_acq_rel);
  entry.action = wanted;
  entry.version.fetch_add(1, std::memory_order_acq_rel);
  kernel_action ours = wanted;
  if (is_function(wanted.handler)) {
    ours.handler = reinterpret_cast<void (*)(int)>(reinterpret_cast<void*>(handler_of_all));
    ours.flags = (wanted.flags & ~static_cast<unsigned long>(SA_RESETHAND)) | SA_SIGINFO;
    ours.flags |= flag_restorer;
    ours.restorer = restorer;
    ours.mask = wanted.mask & ~reserved_signals;
  }
  entry.is_taken_over.store(true, std::memory_order_release);
  kernel_sigaction(signal, &ours, nullptr);
}

/// glibc's own trampoline for the return from a handler, taken from an action that it sets.
bool find_restorer() noexcept {
  if (restorer) return true;
  struct sigaction before {};
  struct sigaction probe {};
  probe.sa_handler = [](int) {};
  constexpr int unused = SIGURG;
  if (::sigaction(unused, nullptr, &before) != 0) return false;
  if (::sigaction(unused, &probe, nullptr) != 0) return false;
  kernel_action made;
  kernel_sigaction(unused, nullptr, &made);
  restorer = made.restorer;
  ::sigaction(unused, &before, nullptr);
  return true;
}

}  // namespace

bool prepare_actions(long_handler entry) noexcept {
  handler_of_all = entry;
  return find_restorer();
}

void take_over_all() noexcept {
  has_taken_over.store(true, std::memory_order_release);
  for (int signal = 1; signal <= signals_max; ++signal) {
    if ((reserved_signals | unblockable_signals) & bit_of(signal)) continue;
    if (actions[signal].is_taken_over.load(std::memory_order_relaxed)) continue;  // a fork's child
    kernel_action set;
    if (kernel_sigaction(signal, nullptr, &set) == 0 && is_function(set.handler))
      take_over(signal, set);
  }
}

bool manages_handlers() noexcept { return has_taken_over.load(std::memory_order_acquire); }

bool is_taken_over(int signal) noexcept {
  return actions[signal].is_taken_over.load(std::memory_order_acquire);
}

kernel_action action_of(int signal) noexcept {
  program_action& entry = actions[signal];
  for (;;) {
    const unsigned before = entry.version.load(std::memory_order_acquire);
    const kernel_action copy = entry.action;
    std::atomic_thread_fence(std::memory_order_acquire);
    if (before % 2 == 0 && entry.version.load(std::memory_order_relaxed) == before) return copy;
  }
}

bool is_function(void (*handler)(int)) noexcept { return handler != SIG_DFL && handler != SIG_IGN; }

int change_action(int signal, const kernel_action* next, kernel_action* old) noexcept {
  if (signal < 1 || signal > signals_max || (reserved_signals & bit_of(signal))) return -EINVAL;
  if (next && (unblockable_signals & bit_of(signal))) return -EINVAL;
  const bool is_known = is_taken_over(signal);
  kernel_action before;
  if (is_known) {
    before = action_of(signal);
  } else {
    kernel_sigaction(signal, nullptr, &before);
  }
  if (next) take_over(signal, *next);
  if (old) *old = before;
  return 0;
}

void reset_if_asked(int signal, const kernel_action& action) noexcept {
  if (!(action.flags & SA_RESETHAND)) return;
  kernel_action none;
  change_action(signal, &none, nullptr);
}

long kernel_sigaction(int signal, const kernel_action* next, kernel_action* old) noexcept {
  return kernel::call(SYS_rt_sigaction, signal, next, old, sizeof(signal_set));
}

}  // namespace coir::threads
