/// What all kernel threads of the runtime share. See scheduler.hpp for what the words mean.
#pragma once

#include "hooks/threads/carrier.hpp"
#include "hooks/threads/current.hpp"
#include "hooks/threads/lock.hpp"
#include "hooks/threads/run_queue.hpp"
#include "hooks/threads/wiped.hpp"

#include <coir/detail/clock.hpp>

#include <atomic>
#include <cstdint>

namespace coir::threads {

using coir::detail::deadline;

inline constexpr int carriers_max = 4096;

struct scheduler_state {
  std::atomic<bool> is_on;  ///< the program's threads are fibers
  int tokens;
  int kernel_threads_max;
  run_queue global_queue;

  lock state_lock;  ///< guards changes of carrier states and all down to the next line
  std::atomic<int> running_count;
  carrier* idle;
  bool has_reported_limit;

  std::atomic<carrier*> poller;
  std::atomic<std::int64_t> poller_until;  ///< when the poller wakes by itself
  std::atomic<int> is_poller_kicked;       ///< and has not heard it yet
  std::atomic<int> ready_count;            ///< fibers in run queues
  std::atomic<int> is_waking;              ///< a carrier is on its way to ready fibers
  std::atomic<int> monitor_sleeps;         ///< futex
  std::atomic<bool> has_monitor;

  lock carriers_lock;
  std::atomic<int> carrier_count;
  carrier* carriers[carriers_max];

  lock threads_lock;  ///< guards the list of all threads but the main one
  thread_fiber* newest;
  std::atomic<int> live_threads;  ///< that have not ended, the main one included
  std::atomic<bool> main_has_exited;
  std::atomic<bool> has_memory_keys;    ///< the program uses pkeys(7): rights are a thread's own
  std::atomic<bool> accounts_cpu_time;  ///< somebody has asked for a thread's processor time
};

extern wiped<scheduler_state> sched;
extern thread_fiber main_thread;

/// The fiber that runs, or null: on kernel threads that are not ours, on a hub, before the start
/// and in a child that has not started.
inline thread_fiber* current() noexcept {
  if (!sched->is_on.load(std::memory_order_relaxed)) return nullptr;
  thread_fiber* const self = here.self;
  return self && !self->is_hub ? self : nullptr;
}

}  // namespace coir::threads
