/// What a wait is made of: who waits, why, and how it ended.
#pragma once

#include <atomic>
#include <cstdint>

namespace coir::detail {

struct control_block;
struct fiber_record;
struct thread_slots;
struct wait_graph;
class wait_queue;

/// How a wait ended.
enum class wait_status : std::uint8_t {
  woken,        ///< somebody took this waiter out of the queue
  timed_out,    ///< the deadline passed first; the waiter is out of the queue
  interrupted,  ///< a kill or a scope's deadline came; the waiter is out of the queue
};

/// Why a fiber waits, for reports.
enum class wait_reason : std::uint8_t {
  none,
  io,
  sleep,
  mutex,
  condition,
  semaphore,
  event,
  queue,
  join,
  offload,
  context,
  channel,
  select,
  several,
  shared_mutex,
  latch,
  barrier,
  once,
  wait_group,
  future,
  place,
  serve  ///< a thread of a set of workers, for their fibers
};

/// Whether only another fiber or thread can end such a wait, not the kernel or the clock.
constexpr bool is_for_fibers(wait_reason why) noexcept {
  return why != wait_reason::none && why != wait_reason::io && why != wait_reason::sleep &&
         why != wait_reason::offload && why != wait_reason::serve;
}

/// Whether a kill or a scope's deadline ends the wait.
enum class interruptible : bool { no, yes };

/// Of what a waiter is the base.
enum class waiter_kind : std::uint8_t {
  only,         ///< of nothing: the one wait of its fiber
  alternative,  ///< an `alternative`
  observer,     ///< an `observer`, in observer.hpp: it only wants to know
};

/// One waiting fiber. Lives on the stack of that fiber for the length of the wait. Guarded by the
/// lock of its queue. A fiber in a select has one in several queues: each is an `alternative`.
/// Has all that a waker on another worker needs of the fiber besides its record.
struct waiter {
  waiter* next = nullptr;
  waiter* prev = nullptr;
  control_block* fiber = nullptr;
  thread_slots* home = nullptr;       ///< the fiber's worker
  fiber_record* record = nullptr;     ///< the fiber's
  const wait_queue* queue = nullptr;  ///< in which it waits, for reports
  void* payload = nullptr;  ///< what the waker hands over or takes; meaning is the queue owner's
  std::atomic<bool> is_waiting{
      false};  ///< false once a waker took it; its last touch of the waiter
  waiter_kind kind = waiter_kind::only;  ///< constant
};

class choice;

/// A waiter that is not the only one of its fiber, so that it may be passed over.
struct shared_waiter : waiter {
  bool is_queued = false;  ///< guarded by the lock of its queue
  /// Of an observer: called by a waker that has taken it out of its queue, under the lock of that
  void (*tell)(shared_waiter& self) noexcept = nullptr;
};

/// One of the waits of a select, of which only one can succeed.
struct alternative : shared_waiter {
  alternative() noexcept { kind = waiter_kind::alternative; }
  choice* among = nullptr;  ///< the select's; constant while the waiter is queued
};

/// Which alternative of a waiting select has been taken: the word by which wakers in different
/// queues, and the select's own deadline or kill, agree on one. Lives on the select's stack until
/// all its alternatives have left their queues.
class choice {
 public:
  /// Takes the select for `by`; false when it was taken before. A waker holds the lock of the queue
  /// that `by` was in; the select itself passes one that was never queued, and needs no lock. Any
  /// thread; never parks.
  bool claim(alternative& by) noexcept {
    alternative* nobody = nullptr;
    return taken_.compare_exchange_strong(nobody, &by, std::memory_order_acq_rel,
                                          std::memory_order_relaxed);
  }
  /// The alternative that was taken; null while there is none. What its waker hands over may be
  /// read under the lock of its queue. Any thread; never parks.
  alternative* taken() const noexcept { return taken_.load(std::memory_order_acquire); }

 private:
  std::atomic<alternative*> taken_{nullptr};
};

}  // namespace coir::detail
