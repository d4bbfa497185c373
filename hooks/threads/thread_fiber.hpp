/// The control block of a thread that is a fiber: passive data; the verbs are in scheduler.hpp.
///
/// It lies behind the thread control block of glibc, which the program knows as its pthread_t, so
/// that one leads to the other. Both live in the memory of the thread's stack.
#pragma once

#include <coir/detail/timer_node.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include <csignal>

#include <sys/types.h>

namespace coir::threads {

struct carrier;

/// Where a fiber is between the decision to wait and its next run. See scheduler.hpp.
enum class park_state : int {
  running,   ///< on a carrier, or in a run queue
  parking,   ///< about to leave its carrier; linked where it waits, perhaps
  notified,  ///< woken: while it was parking, or out of a park and in a run queue now
  parked,    ///< off its carrier, only linked where it waits
};

/// Bits of thread_fiber::ending.
inline constexpr int has_finished = 1;  ///< its function has returned and it has left its stack
inline constexpr int is_detached = 2;   ///< nobody will join: whoever sets the second bit recycles
inline constexpr int is_joined = 4;     ///< somebody joins it

/// The memory of a thread.
struct thread_memory {
  std::byte* start = nullptr;  ///< the mapping, its guard first; null for the main thread
  std::size_t bytes = 0;
  std::byte* stack = nullptr;  ///< lowest usable byte of its stack
  std::size_t stack_bytes = 0;
  std::size_t guard_bytes = 0;
};

struct alignas(64) thread_fiber {
  // What every switch and wake touches: one cache line.
  void* stack_pointer = nullptr;
  std::uintptr_t thread_pointer = 0;
  carrier* on = nullptr;                 ///< while it runs; to be read again after every switch
  thread_fiber* next = nullptr;          ///< in a run queue or a pool
  std::uint64_t blocked = 0;             ///< signal mask: bit n - 1 for signal n
  std::atomic<std::uint64_t> pending{};  ///< signals sent to it that it has not handled
  std::atomic<park_state> state{park_state::running};
  int handler_depth = 0;               ///< signal handlers of the program that it is inside
  std::uint16_t hog_rounds = 0;        ///< so often still it gives its token away when it resumes
  bool is_hub = false;                 ///< of a carrier's own context, which runs no program code
  bool is_in_region = false;           ///< in a call that is known to block, without a token
  bool timed_out = false;              ///< its timer ended the park
  std::atomic<bool> is_cancellable{};  ///< while parked: a cancellation ends it
  unsigned char calls_in_slice = 0;    ///< fairness budget, see count_call()
  bool has_run_handler = false;        ///< of a signal, in this park or since a watch began

  // What a park touches besides.
  coir::detail::timer_node timer;
  std::int64_t slice_start_ns = 0;    ///< when it made the first of the calls in its slice
  bool restarts_calls = true;         ///< all handlers that ran in this park had SA_RESTART
  bool is_watching_handlers = false;  ///< see handler_watch

  // What the program gave it, and what it leaves.
  void* (*function)(void*) = nullptr;
  void* argument = nullptr;
  void* result = nullptr;
  bool has_called_exit = false;
  std::size_t guard_size = 0;    ///< as it was asked for
  std::uint32_t key_rights = 0;  ///< its PKRU register, once the program has memory keys
  std::int64_t cpu_ns = 0;       ///< processor time, once somebody has asked for any
  std::atomic<int> ending{};
  std::atomic<thread_fiber*> joins{};  ///< whom it waits for, to find two that join each other
  std::uint64_t processors = 0;        ///< its affinity as the program sees it; 0: the process's
  stack_t signal_stack = {};           ///< what it has given to sigaltstack
  char name[16] = {};

  thread_memory memory;
  void* resolver = nullptr;  ///< libc's struct __res_state of its own
  pid_t tid = 0;
  thread_fiber* older = nullptr;  ///< in the list of all
  thread_fiber* newer = nullptr;

  static thread_fiber& owner_of(coir::detail::timer_node& node) noexcept {
    void* const start = reinterpret_cast<std::byte*>(&node) - offsetof(thread_fiber, timer);
    return *static_cast<thread_fiber*>(start);
  }
};

}  // namespace coir::threads
