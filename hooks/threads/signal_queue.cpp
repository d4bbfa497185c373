#include "hooks/threads/signal_queue.hpp"

#include "hooks/threads/lock.hpp"
#include "hooks/threads/wiped.hpp"

#include <atomic>
#include <bit>

namespace coir::threads {
namespace {

constexpr int queued_signals_max = 1024;

struct queued_signal {
  thread_fiber* target;  ///< null: free
  std::uint64_t order;
  siginfo_t info;
};

struct queue_state {
  lock guard_of_queue;
  std::uint64_t next_order;
  queued_signal queue[queued_signals_max];
  std::atomic<signal_set> process_pending;
};
constinit wiped<queue_state> waiting_signals{};
constinit siginfo_t last_info[signals_max + 1]{};

bool take_bit(thread_fiber& target, signal_set bit) noexcept {
  return (target.pending.fetch_and(~bit, std::memory_order_acq_rel) & bit) != 0;
}

/// Takes the oldest one of a number that waits for the fiber, and its bit when none is left then.
/// One that the kernel brought has only the bit.
bool dequeue_signal(thread_fiber& target, int signal, siginfo_t& info) noexcept {
  const guard hold(waiting_signals->guard_of_queue);
  queued_signal* oldest = nullptr;
  int waiting = 0;
  for (queued_signal& entry : waiting_signals->queue) {
    if (entry.target != &target || entry.info.si_signo != signal) continue;
    ++waiting;
    if (!oldest || entry.order < oldest->order) oldest = &entry;
  }
  const bool had_bit = waiting > 1 || take_bit(target, bit_of(signal));
  if (!oldest) return had_bit;
  info = oldest->info;
  oldest->target = nullptr;
  return true;
}

}  // namespace

void note_info(const siginfo_t& info) noexcept { last_info[info.si_signo] = info; }

siginfo_t info_of(int signal) noexcept { return last_info[signal]; }

bool add_pending(thread_fiber& target, const siginfo_t& info) noexcept {
  const signal_set bit = bit_of(info.si_signo);
  if (info.si_signo < first_queued_signal) {
    target.pending.fetch_or(bit, std::memory_order_seq_cst);
    return true;
  }
  const guard hold(waiting_signals->guard_of_queue);
  for (queued_signal& entry : waiting_signals->queue) {
    if (entry.target) continue;
    entry = {&target, ++waiting_signals->next_order, info};
    target.pending.fetch_or(bit, std::memory_order_seq_cst);
    return true;
  }
  return false;
}

bool take_pending(thread_fiber& self, int signal, siginfo_t& info) noexcept {
  info = last_info[signal];
  if (signal >= first_queued_signal) return dequeue_signal(self, signal, info);
  return take_bit(self, bit_of(signal));
}

bool has_process_signals() noexcept {
  return waiting_signals->process_pending.load(std::memory_order_seq_cst) != 0;
}

void add_process_signal(int signal) noexcept {
  waiting_signals->process_pending.fetch_or(bit_of(signal), std::memory_order_seq_cst);
}

signal_set take_process_signals() noexcept {
  return waiting_signals->process_pending.exchange(0, std::memory_order_seq_cst);
}

signal_set pending_signals(const thread_fiber& self) noexcept {
  return self.pending.load(std::memory_order_acquire) |
         waiting_signals->process_pending.load(std::memory_order_acquire);
}

int take_signal(thread_fiber& self, signal_set set, siginfo_t* info) noexcept {
  signal_set own = self.pending.load(std::memory_order_acquire) & set;
  signal_set shared = waiting_signals->process_pending.load(std::memory_order_acquire) & set;
  for (; own != 0; own &= own - 1) {
    const int signal = std::countr_zero(own) + 1;
    siginfo_t found;
    if (!take_pending(self, signal, found)) continue;
    if (info) *info = found;
    return signal;
  }
  for (; shared != 0; shared &= shared - 1) {
    const int signal = std::countr_zero(shared) + 1;
    if (!(waiting_signals->process_pending.fetch_and(~bit_of(signal)) & bit_of(signal))) continue;
    if (info) *info = last_info[signal];
    return signal;
  }
  return 0;
}

bool start_signal_queue() noexcept { return waiting_signals.wipe_on_fork(); }

}  // namespace coir::threads
