/// The control block of a fiber: passive data; the verbs live above it.
///
/// Control blocks lie densely beside each other, apart from the stacks and from the rest of what is
/// known of a fiber: following the run queue then touches few cache lines even with 100,000 fibers.
/// Their memory is never given back, only reused, so that a late wake from another thread meets a
/// control block, if perhaps a later fiber's: every wait therefore tolerates a wake without a
/// cause.
#pragma once

#include <coir/detail/interruption.hpp>
#include <coir/detail/stretch.hpp>
#include <coir/detail/timer_node.hpp>
#include <coir/detail/waiter.hpp>

#include "runtime/base/inbox.hpp"
#include "runtime/base/intrusive_list.hpp"
#include "runtime/fiber/fiber_values.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>

namespace coir::detail {

/// Where a fiber is. Read and written by its worker only.
enum class fiber_state : std::uint8_t {
  free,       ///< in its fiber_pool
  ready,      ///< in the run queue
  running,    ///< on the processor
  parked,     ///< waits; anyone may make it ready
  suspended,  ///< only a switch goes on with it: made and not begun, or a generator at its yield
  ended,      ///< its function has returned; leaves its stack with the next switch
};

/// What a control block stands for.
enum class fiber_kind : std::uint8_t {
  spawned,    ///< the fiber of a task, or of a thread's own stack
  context,    ///< the fiber of a raw context
  generator,  ///< no fiber: its stack is lent to whichever fiber runs the generator
};

/// The C++ runtime's record of exceptions being handled. Its layout is fixed by the Itanium C++
/// ABI.
struct exception_globals {
  void* caught = nullptr;
  unsigned int uncaught = 0;
};

struct control_block;

/// What a thread keeps for the code that runs on it and each fiber must own. The addresses are
/// looked up once per thread: compilers cache them over a switch anyhow, which is right only
/// because a fiber never changes its thread. A worker is one of these.
struct thread_slots {
  exception_globals* exceptions = nullptr;
  int* error_number = nullptr;
  control_block* running = nullptr;

  /// Looks up the addresses of the calling thread.
  void adopt_this_thread() noexcept;
};

struct stack_memory {
  std::byte* bottom = nullptr;  ///< lowest usable byte; the guard ends here
  std::size_t bytes = 0;        ///< usable
  std::byte* top() const noexcept { return bottom + bytes; }
};

/// The kill of a fiber; there is one at a time.
struct kill_request {
  interruption in;
  std::exception_ptr error;  ///< what to throw; null: fiber_exit
  unsigned guards = 0;       ///< no_kill guards of the fiber that are open
  bool is_deferred = false;  ///< waits for the last of them to go
};

/// What a switch does not touch.
struct alignas(64) fiber_record {
  // All that other threads write, in a cache line of its own.
  control_block* owner = nullptr;  ///< constant
  remote_call wake_call;           ///< posted to its worker by other threads
  std::atomic<bool> wake_is_posted{false};

  alignas(64) timer_node timer;  ///< of the park
  void (*entry)(control_block&) = nullptr;
  void* argument = nullptr;   ///< for `entry`: the task, the raw context or the generator
  void* mailbox = nullptr;    ///< of a context switch
  void* generator = nullptr;  ///< the innermost one whose stack the fiber is on; null: on its own
  intrusive_list<interruption> interruptions;  ///< pending, oldest first
  stretch* measured = nullptr;                 ///< the innermost measurement of it, or null
  interruption* raised = nullptr;              ///< the last that was thrown, while it lives
  kill_request kill;
  bool is_dismissed = false;  ///< has got the one kill by which its set of workers ends it
  unsigned c_frames = 0;      ///< calls from C code that are open: see throw_if_interrupted
  stack_memory stack;         ///< the one in use; empty for that of a thread
  fiber_values values;
  fiber_kind kind = fiber_kind::spawned;
  std::uint32_t number = 0;          ///< its place in the pool's slab, for colouring
  std::uint32_t sanitizer_uses = 0;  ///< tsan: by how many fibers in a row
  std::uint64_t id = 0;
  const char* name = "fiber";        ///< owned by the task
  const void* spawn_site = nullptr;  ///< an address in the code that spawned it
  void* sanitizer = nullptr;         ///< asan: fake stack; tsan: fiber
  /// Of the process in which it began, or which a fork of its own made
  std::uint32_t fork_generation = 0;

  /// The fiber whose `timer` this is.
  static control_block& owner_of(timer_node& node) noexcept {
    return owner_of(&node, offsetof(fiber_record, timer));
  }
  /// The fiber whose `wake_call` this is.
  static control_block& owner_of(remote_call& call) noexcept {
    return owner_of(&call, offsetof(fiber_record, wake_call));
  }

  static control_block& owner_of(void* member, std::size_t offset) noexcept {
    void* const start = static_cast<std::byte*>(member) - offset;
    return *static_cast<fiber_record*>(start)->owner;
  }
};

/// One cache line: all that a switch touches.
struct alignas(64) control_block {
  void* context = nullptr;  ///< where it goes on: boost's fcontext_t, valid while it does not run
  union {
    control_block* next = nullptr;  ///< in the run queue
    const waiter* waits_in;         ///< while parked for another fiber: its place in that queue
  };
  thread_slots* home = nullptr;    ///< its worker; constant from the first use on
  fiber_record* record = nullptr;  ///< constant
  exception_globals exceptions;
  int error_number = 0;        ///< errno while it does not run
  std::uint32_t since_ms = 0;  ///< while parked: when that began, on the worker's clock
  fiber_state state = fiber_state::free;
  wait_reason why = wait_reason::none;  ///< while parked, for reports
  bool is_interrupted = false;          ///< record->interruptions is not empty
  bool is_interruptible = false;        ///< while parked
  bool timed_out = false;               ///< its timer ended the park
  bool is_measured = false;             ///< record->measured is not null, and it has the worker
  std::uint8_t calls_without_park = 0;  ///< fairness budget
};

static_assert(sizeof(control_block) == 64);

/// Makes `w` a wait of `f`.
inline void set_fiber(waiter& w, control_block& f) noexcept {
  w.fiber = &f;
  w.home = f.home;
  w.record = f.record;
}

/// True when only another fiber, or another thread, can make `f` go on.
inline bool is_for_fibers(const control_block& f) noexcept {
  return f.state == fiber_state::suspended ||
         (f.state == fiber_state::parked && is_for_fibers(f.why));
}

/// True for the control block of a generator whose stack a fiber uses: that fiber has one of its
/// own.
inline bool is_lent(const control_block& f) noexcept {
  return f.record->kind == fiber_kind::generator && f.state == fiber_state::running &&
         f.home->running != &f;
}

/// FIFO of fibers through control_block::next.
class fiber_list {
 public:
  bool empty() const noexcept { return head_ == nullptr; }

  void push_back(control_block& f) noexcept {
    f.next = nullptr;
    (tail_ ? tail_->next : head_) = &f;
    tail_ = &f;
  }

  /// Takes the first fiber, null when there is none, and asks for the stacks of some that come
  /// after it.
  control_block* pop_front() noexcept {
    control_block* const first = head_;
    if (!first) return nullptr;
    head_ = first->next;
    if (head_) {
      prefetch();
    } else {
      tail_ = nullptr;
      places_ahead_ = 0;
    }
    return first;
  }

  /// Makes the fiber that is `places` behind the first one the first, counted around; that one.
  /// There is one.
  control_block& bring_forward(std::size_t places) noexcept {
    control_block* before = nullptr;
    control_block* chosen = head_;
    for (; places > 0; --places) {
      before = chosen->next ? chosen : nullptr;
      chosen = chosen->next ? chosen->next : head_;
    }
    if (!before) return *chosen;
    before->next = chosen->next;
    if (tail_ == chosen) tail_ = before;
    chosen->next = head_;
    head_ = chosen;
    places_ahead_ = 0;  // what was prefetched is elsewhere now
    return *chosen;
  }

  /// Queues a parked fiber; does nothing with one that is not parked: its wake is on the way
  /// already.
  void make_ready(control_block& f) noexcept {
    if (f.state != fiber_state::parked) return;
    f.state = fiber_state::ready;
    push_back(f);
  }

 private:
  /// With many fibers each switch meets a stack that has left the cache. Known a few switches
  /// ahead, that costs half.
  static constexpr int places_ahead_max = 6;

  /// The head has moved on by one place; `ahead_` is to stay that many places before it.
  void prefetch() noexcept {
    if (places_ahead_ > 0) {
      --places_ahead_;
    } else {
      ahead_ = head_;
    }
    for (int step = 0; step < 2 && places_ahead_ < places_ahead_max && ahead_->next;
         ++step, ++places_ahead_) {
      ahead_ = ahead_->next;
      __builtin_prefetch(ahead_->context, 1);
      __builtin_prefetch(static_cast<char*>(ahead_->context) + 64, 1);
      __builtin_prefetch(static_cast<char*>(ahead_->context) + 128, 1);
    }
  }

  control_block* head_ = nullptr;
  control_block* tail_ = nullptr;
  control_block* ahead_ = nullptr;  ///< valid while places_ahead_ > 0: the last one prefetched
  int places_ahead_ = 0;            ///< how many places behind the head it stands
};

}  // namespace coir::detail
