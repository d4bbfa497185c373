/// A kernel thread that runs fibers.
#pragma once

#include "hooks/threads/run_queue.hpp"
#include "hooks/threads/thread_fiber.hpp"

#include <atomic>
#include <cstdint>

#include <sys/types.h>

namespace coir::threads {

enum class carrier_state : int {
  running,  ///< holds a token: runs fibers or looks for one
  stuck,    ///< holds none, and is still inside a fiber that does not come back to the runtime
  polling,  ///< holds none, and sleeps in the epoll; one carrier at a time
  idle,     ///< holds none, and sleeps on its futex, in the list of idle carriers
};

struct alignas(64) carrier {
  thread_fiber hub;  ///< its own context, which looks for fibers
  run_queue queue;
  std::atomic<carrier_state> state;
  std::atomic<std::uint64_t> switches;  ///< the monitor sees by it that it moves
  std::atomic<bool> runs_fiber;         ///< false while its hub runs
  thread_fiber* running;
  std::int64_t polled_ns;     ///< when it has looked for events last, about
  unsigned picks;             ///< fibers taken from queues
  std::uint64_t kernel_mask;  ///< the signal mask that it has in the kernel

  /// What is left to do for the context that was just left; done by the one that was switched to.
  void (*after_switch)(thread_fiber&) noexcept;
  thread_fiber* left;

  std::int64_t cpu_mark_ns;    ///< its processor time when the running fiber began; 0: unknown
  std::atomic<int> may_go_on;  ///< futex: 1 ends the sleep of an idle carrier
  carrier* next_idle;
  pid_t tid;
  int index;

  // Notes of the monitor, which alone reads and writes them.
  std::uint64_t seen_switches;
  std::int64_t seen_cpu_ns;
  std::int64_t seen_since_ns;
};

}  // namespace coir::threads
