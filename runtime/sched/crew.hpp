/// Workers that begin fibers for each other.
///
/// What is to be begun on any of them is a call that makes the fiber, on a stack of whoever invokes
/// it. A member keeps what it spawns itself in a deque of its own, and takes the youngest: that
/// keeps few fibers alive at a time where each spawns more. Others put their calls into the common
/// queue. A member without ready fibers takes from its deque, from the common queue, and then the
/// oldest from the others; one that always has ready fibers takes the oldest of its own once a
/// turn. A fiber that has begun stays.
///
/// How nothing is left lying while a member sleeps:
///
///     who adds work:    put it into a deque or the common queue; look for an idle member, take it
///                       out of the idle set, take its mark of sleep, signal it
///     who has nothing:  set the mark of sleep in the inbox; enter the idle set; look for work
///                       everywhere once more; wait in the kernel; take the mark away; leave the
///                       set
///
/// Each side does its first step before it looks for that of the other, all sequentially
/// consistent: so one of them sees the other. A member that was taken out of the set but whose mark
/// is gone is awake, and looks for work before it sleeps again; the next one is tried.
///
/// Rejected: waking a member for each piece of work (the first to come takes all of a burst before
/// the second is awake); a count of members that search, as Go has it, which saves wake-ups when
/// there are many cores, at the price of a third party in the hand-shake above.
#pragma once

#include <coir/detail/remote_call.hpp>

#include "runtime/base/idle_set.hpp"
#include "runtime/base/work_deque.hpp"
#include "runtime/sched/common_queue.hpp"
#include "runtime/sched/worker_door.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace coir::detail {

class crew;

/// A worker's place in a crew.
struct crew_seat {
  crew* all = nullptr;
  worker_door* occupant = nullptr;  ///< constant once the crew is in use
  std::size_t number = 0;
  work_deque unbegun;      ///< to be begun by anyone, spawned by the occupant
  std::uint32_t dice = 1;  ///< where to look first; the occupant's
  counter offered;         ///< calls the occupant has put into `unbegun`
  counter taken;           ///< calls of the crew the occupant has invoked: they count themselves
  counter received;        ///< of those, the ones that were `sent`
  /// Calls for the occupant alone, by any thread.
  alignas(64) std::atomic<std::uint64_t> sent{0};

  /// How many have been sent that it has not invoked. Any thread.
  std::uint64_t on_the_way() const noexcept {
    const std::uint64_t arrived = received.read();
    return sent.load(std::memory_order_acquire) - arrived;
  }
};

class crew {
 public:
  static constexpr std::size_t workers_max = idle_set::numbers_max;

  /// Of so many members, which have so many processors. Throws std::bad_alloc.
  crew(std::size_t size, std::size_t processors);
  crew(const crew&) = delete;
  crew& operator=(const crew&) = delete;

  std::size_t size() const noexcept { return size_; }
  crew_seat& seat(std::size_t number) noexcept { return seats_[number]; }

  /// Hands work over that any member may begin. Any thread, with its seat, if it has one in this
  /// crew. Never fails: without memory for the deque it goes into the common queue.
  void add(remote_call& work, crew_seat* own) noexcept;
  /// Hands work over to one member. Any thread.
  void add_for(std::size_t number, remote_call& work) noexcept;
  /// Sends a call to one member that begins no fiber. The crew is not quiet before it is invoked,
  /// which it counts in `taken`. Any thread.
  void tell(std::size_t number, remote_call& call) noexcept;
  /// The next call for the occupant of `by`: its own youngest, one of the common queue, or the
  /// oldest of another; null when there is none.
  remote_call* take(crew_seat& by) noexcept;
  /// The oldest for the occupant of `by` that is nobody else's; null when there is none.
  remote_call* take_oldest(crew_seat& by) noexcept;
  /// True when each member can have a processor of its own, so that one may look for work without
  /// taking time from another.
  bool may_spin() const noexcept { return may_spin_; }
  /// A quick look of one that has nothing to do: sees in the course of a few calls what there is.
  bool may_have_work(crew_seat& by) noexcept;

  /// To be called by a member that has nothing to do: tells whoever waits for that of the whole
  /// crew. begin_rest does it, too.
  void note_idle() noexcept;
  /// Around the sleep of a member, which has set its mark: see the head of this file. begin_rest is
  /// false when there is work after all.
  bool begin_rest(crew_seat& by) noexcept;
  void end_rest(crew_seat& by) noexcept { idle_.remove(by.number); }

  /// How often all fibers of the members were killed. Who hands work over notes it with that: when
  /// it is another number at the beginning, a kill has come between. Any thread.
  std::uint32_t kills() const noexcept { return kills_.load(std::memory_order_acquire); }
  void count_kill() noexcept { kills_.fetch_add(1, std::memory_order_acq_rel); }

  /// How many fibers a member has, or would begin next. Any thread; a figure of about now.
  std::size_t load_of(std::size_t number) const noexcept;
  /// How many calls lie in the common queue, which any member may take. Any thread.
  std::size_t queued() const noexcept { return common_.size(); }
  /// True when all that was handed over has been begun, and all fibers of the members have ended.
  bool is_quiet() const noexcept;
  /// Calls `told`, perhaps several times, on a member, when the crew has become quiet; until it
  /// is null again, and perhaps a little longer, since a member may be about to. By then the crew
  /// need not be quiet any more: `told` looks again. The argument is the same each time.
  void tell_when_quiet(void (*told)(void*) noexcept, void* argument) noexcept;

 private:
  remote_call* take_common(crew_seat& by) noexcept;
  remote_call* steal(crew_seat& by) noexcept;
  bool has_work() const noexcept;
  void wake_idle() noexcept;

  const std::size_t size_;
  const bool may_spin_;
  const std::unique_ptr<crew_seat[]> seats_;
  idle_set idle_;
  common_queue common_;
  std::atomic<std::uint64_t> handed_in_{0};  ///< calls put into common_, or told, ever
  std::atomic<std::uint32_t> kills_{0};
  std::atomic<void (*)(void*) noexcept> told_{nullptr};
  std::atomic<void*> told_argument_{nullptr};
};

}  // namespace coir::detail
