#include "hooks/threads/signal_routing.hpp"

#include "hooks/threads/monitor_call.hpp"
#include "hooks/threads/poller_kick.hpp"
#include "hooks/threads/ready.hpp"
#include "hooks/threads/signal_queue.hpp"
#include "runtime/kernel/calls.hpp"

#include <bit>

#include <unistd.h>

namespace coir::threads {
namespace {

// Its address marks a poke.
constinit char poke_mark = 0;

/// The fiber that gets a signal for the process; null when all block it.
thread_fiber* choose_fiber(int signal) noexcept {
  if (accepts(main_thread, signal)) return &main_thread;
  thread_fiber* const self = here.self;
  if (self && !self->is_hub && accepts(*self, signal)) return self;
  const guard hold(sched->threads_lock);
  for (thread_fiber* f = sched->newest; f; f = f->older)
    if (accepts(*f, signal)) return f;
  return nullptr;
}

}  // namespace

bool accepts(const thread_fiber& fiber, int signal) noexcept {
  return (fiber.blocked & bit_of(signal)) == 0 &&
         (fiber.ending.load(std::memory_order_relaxed) & has_finished) == 0;
}

void poke(thread_fiber& fiber, int signal) noexcept {
  carrier* const c = fiber.on;
  if (c && c->running == &fiber && here.self != &fiber) {
    siginfo_t info{};
    info.si_signo = signal;
    info.si_code = SI_QUEUE;
    info.si_value.sival_ptr = &poke_mark;
    kernel::call(SYS_rt_tgsigqueueinfo, ::getpid(), c->tid, signal, &info);
  }
  wake(fiber);
}

bool is_poke(const siginfo_t& info) noexcept {
  return info.si_code == SI_QUEUE && info.si_value.sival_ptr == &poke_mark;
}

void note_for_process(const siginfo_t& info) noexcept {
  note_info(info);
  add_process_signal(info.si_signo);
  if (here.self && !here.self->is_hub) {
    here.has_deferred_signals = true;
  } else {
    kick_poller();
  }
  // The fiber may park before it looks, and the poller be gone
  wake_monitor();
}

void route_process_signals() noexcept {
  if (!has_process_signals()) return;
  signal_set left = take_process_signals();
  for (; left != 0; left &= left - 1) {
    const int signal = std::countr_zero(left) + 1;
    if (thread_fiber* const target = choose_fiber(signal)) {
      target->pending.fetch_or(bit_of(signal), std::memory_order_seq_cst);
      poke(*target, signal);
    } else {
      add_process_signal(signal);
    }
  }
}

}  // namespace coir::threads
