#include "hooks/threads/signal_handlers.hpp"

#include "hooks/threads/current.hpp"
#include "hooks/threads/machine.hpp"
#include "hooks/threads/signal_mask.hpp"
#include "hooks/threads/signal_queue.hpp"
#include "hooks/threads/signal_routing.hpp"
#include "runtime/kernel/calls.hpp"

#include <bit>

#include <ucontext.h>
#include <unistd.h>

namespace coir::threads {
namespace {

/// The end of the stack that the fiber has given for handlers, when this one is to run there.
void* own_signal_stack(const kernel_action& action) noexcept {
  const thread_fiber* const self = here.self;
  if (!(action.flags & SA_ONSTACK) || !self || self->is_hub) return nullptr;
  const stack_t& stack = self->signal_stack;
  if (!stack.ss_sp || (stack.ss_flags & SS_DISABLE)) return nullptr;
  const auto here_on_stack = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  const auto start = reinterpret_cast<std::uintptr_t>(stack.ss_sp);
  const bool is_there = here_on_stack >= start && here_on_stack < start + stack.ss_size;
  return is_there ? nullptr : static_cast<char*>(stack.ss_sp) + stack.ss_size;
}

signal_set mask_inside(const kernel_action& action, int signal, signal_set outside) noexcept {
  const signal_set own = action.flags & SA_NODEFER ? 0 : bit_of(signal);
  return (outside | action.mask | own) & ~unblockable_signals;
}

void note_handler(thread_fiber& self, const kernel_action& action) noexcept {
  self.has_run_handler = true;
  if (!(action.flags & SA_RESTART)) self.restarts_calls = false;
}

/// On the fiber, outside of any frame: at the end of a park or of a runtime section.
void run_on_fiber(thread_fiber& self, int signal, siginfo_t info) {
  const kernel_action action = action_of(signal);
  if (!is_function(action.handler)) {
    take_default_action(signal);
    return;
  }
  reset_if_asked(signal, action);
  ucontext_t context{};
  const signal_set outside = self.blocked;
  __builtin_memcpy(&context.uc_sigmask, &outside, sizeof outside);
  set_signal_mask(self, mask_inside(action, signal, outside));
  call_handler(action, signal, &info, &context);
  note_handler(self, action);
  set_signal_mask(self, outside);
}

}  // namespace

void run_pending_handlers_now(thread_fiber& self) noexcept {
  for (;;) {
    const signal_set due = self.pending.load(std::memory_order_acquire) & ~self.blocked;
    if (due == 0) return;
    const int signal = std::countr_zero(due) + 1;
    siginfo_t info;
    if (take_pending(self, signal, info)) run_on_fiber(self, signal, info);
  }
}

void set_signal_mask(thread_fiber& self, signal_set blocked) noexcept {
  exchange_mask(self, blocked);
  route_process_signals();
  run_pending_handlers(self);
}

void run_here(thread_fiber& self, int signal, siginfo_t* info, void* context) {
  const kernel_action action = action_of(signal);
  if (!is_function(action.handler)) return;
  reset_if_asked(signal, action);
  const signal_set outside = self.blocked;
  self.blocked = mask_inside(action, signal, outside);
  self.on->kernel_mask = self.blocked;
  set_kernel_mask(self.blocked, nullptr);
  ++self.handler_depth;
  call_handler(action, signal, info, context);
  --self.handler_depth;
  note_handler(self, action);
  // The return from the frame sets the kernel's mask to what it was.
  self.blocked = outside;
  self.on->kernel_mask = outside;
  auto* const frame = static_cast<ucontext_t*>(context);
  __builtin_memcpy(&frame->uc_sigmask, &outside, sizeof outside);
}

int take_default_action(int signal) noexcept {
  const long result = kernel::call(SYS_tgkill, ::getpid(), kernel::call(SYS_gettid), signal);
  if (result < 0) return static_cast<int>(-result);
  const signal_set only = bit_of(signal);
  signal_set before;
  kernel::call(SYS_rt_sigprocmask, SIG_UNBLOCK, &only, &before, sizeof before);
  set_kernel_mask(before, nullptr);
  return 0;
}

void run_natively(int signal, siginfo_t* info, void* context) {
  const kernel_action action = action_of(signal);
  reset_if_asked(signal, action);
  if (is_function(action.handler)) call_handler(action, signal, info, context);
}

void call_handler(const kernel_action& action, int signal, siginfo_t* info,
                  void* context) noexcept(false) {
  const auto handler = reinterpret_cast<long_handler>(reinterpret_cast<void*>(action.handler));
  if (void* const top = own_signal_stack(action)) {
    call_on_stack(top, handler, signal, info, context);
  } else {
    handler(signal, info, context);
  }
}

void deliver_deferred_signals() noexcept {
  here.has_deferred_signals = false;
  thread_fiber* const self = here.self;
  if (!self) {
    signal_set due = here.deferred_here.exchange(0, std::memory_order_relaxed);
    for (; due != 0; due &= due - 1) {
      const int signal = std::countr_zero(due) + 1;
      siginfo_t info = info_of(signal);
      ucontext_t context{};
      run_natively(signal, &info, &context);
    }
    return;
  }
  if (self->is_hub) return;
  route_process_signals();
  // A fiber that is on its way into a park runs them when it is out of it.
  if (self->state.load(std::memory_order_relaxed) == park_state::running)
    run_pending_handlers(*self);
}

}  // namespace coir::threads
