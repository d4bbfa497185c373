/// Threads of a program as fibers on a few kernel threads.
///
/// Terms. A *carrier* is a kernel thread with a context of its own, its hub, which looks for
/// fibers. A *token* is the right to run fibers; there are as many as cores. Nothing is owned by a
/// carrier that others could not take: its queue can be emptied, timers and the epoll belong to
/// all. So a carrier that is stuck in foreign code costs its token, which the monitor takes back
/// and gives to another carrier; the stuck one notices at its next call into the runtime.
///
/// Parking. No lock is held over a switch, so a fiber publishes itself before it has left its
/// stack:
///   1  prepare_to_park():  running -> parking
///   2  it links itself where it waits (a timer, a descriptor, an address)
///   3  it tests its condition again, and perhaps abandons
///   4  park(): switches to another context
///   5  that context, first of all: parking -> parked. When somebody has made it `notified`
///      meanwhile, that context queues it.
/// wake(): parked -> notified and queue it | parking -> notified | else nothing.
///
/// Invariants
///   1  A fiber is in at most one run queue, and in one only after it has left its stack.
///   2  A waker touches a fiber only under the lock of the list in which it found it; the fiber
///      takes that lock again to unlink itself before it goes on. So it does not vanish.
///   3  Wakes may come without a cause: every wait tests its condition in a loop.
///   4  running_count is the number of carriers in state running, at most `tokens`, except for a
///      moment while the monitor hands over.
///   5  A fiber that was switched back to reads self->on again: it may have moved.
///   6  When a fiber is queued and a token is free, somebody is on the way to take it (is_waking),
///      and clears is_waking on every path.
///
/// Parts, lowest first; each needs only those before it:
///   machine, libc_layout, settings, lock, wiped, thread_fiber, run_queue, carrier, counters, state
///   thread_memory; monitor_call, poller_kick: waking the two that sleep elsewhere
///   signal_mask; carriers: how they are made; tokens: who may run
///   ready: wake(); timers; descriptor_slots, poller: what wakes fibers
///   signal_actions, _queue, _routing, _handlers; cancellation
///   switch; pick; scheduler: this one; rest, hub: what a carrier does without a fiber
///   descriptors, parking_lot: where fibers wait; signals, monitor, thread: the whole
///
/// Rejected: to hand a whole worker over (what owns something exclusively needs a claim at every
/// entry into the runtime); a ring per carrier (the kernel completes operations on the thread that
/// submitted them, and a stuck one never does).
#pragma once

#include "hooks/threads/cancellation.hpp"
#include "hooks/threads/ready.hpp"
#include "hooks/threads/state.hpp"
#include "hooks/threads/switch.hpp"

#include <coir/detail/clock.hpp>

namespace coir::threads {

enum class wake_cause {
  woken,  ///< perhaps without a cause
  timed_out,
  cancelled,  ///< pthread_cancel: the caller returns to its hook, which ends the thread
  signalled,  ///< a signal handler has run; self.restarts_calls says whether all had SA_RESTART
};

/// Step 1 of parking; `is_cancellable` in waits that are cancellation points.
void prepare_to_park(thread_fiber& self, bool is_cancellable) noexcept;
/// Instead of park(), after prepare_to_park().
void abandon_park(thread_fiber& self) noexcept;
/// Step 4; the caller unlinks itself afterwards, and tests its condition whatever the cause.
wake_cause park(thread_fiber& self, deadline until) noexcept;

/// While one is open, a signal handler that runs at any moment, not only in a park, ends the next
/// park of its fiber: for calls that several parks make up.
class handler_watch {
 public:
  explicit handler_watch(thread_fiber& self) noexcept
      : self_(self), was_open_(self.is_watching_handlers) {
    if (was_open_) return;
    self.has_run_handler = false;
    self.restarts_calls = true;
    self.is_watching_handlers = true;
  }
  ~handler_watch() { self_.is_watching_handlers = was_open_; }
  handler_watch(const handler_watch&) = delete;
  handler_watch& operator=(const handler_watch&) = delete;

 private:
  thread_fiber& self_;
  bool was_open_;
};

/// Lets others run first, if there are any.
void yield() noexcept;
/// After each call of the fiber that did not have to wait: gives way when it has had its time.
void count_call() noexcept;
/// At the edges of hooks: a fiber whose token was taken away while it computed gets one again.
void rejoin_if_stuck() noexcept;
/// Around a call that is known to block: the fiber keeps its carrier and gives the token away.
void enter_region() noexcept;
void leave_region() noexcept;

class region {
 public:
  region() noexcept { enter_region(); }
  ~region() { leave_region(); }
  region(const region&) = delete;
  region& operator=(const region&) = delete;
};

/// Ends the fiber: `after` runs on another context once this one has left its stack.
[[noreturn]] void leave_for_good(void (*after)(thread_fiber&) noexcept) noexcept;

}  // namespace coir::threads
