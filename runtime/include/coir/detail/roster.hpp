/// Who belongs to a group, a pool, a thread_pool or a scope, and who waits for a place in it.
#pragma once

#include <coir/detail/task.hpp>
#include <coir/detail/wait_queue.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace coir::detail {

class roster;

/// One task in one roster. Part of a task that was spawned there, else owned by the roster. What
/// follows `home` is guarded by the roster's lock.
struct membership : end_watch {
  roster* home = nullptr;
  task* member = nullptr;
  membership* next = nullptr;
  membership* prev = nullptr;
  std::uint32_t generation = 0;  ///< of the fork in which it took its place
  bool is_owned = false;         ///< the roster frees it
  bool is_listed = false;        ///< among the members
  bool is_over = false;          ///< the task has ended or was discarded: the place is given back
  bool is_killed = false;        ///< a kill of the roster has reached it
  bool must_tell = false;        ///< its failure is still to be told
};

/// The members of a group, tasks that have not ended, and its places, of which each member has one.
/// A place is taken before a task is made for it, and goes to those who wait in order of arrival.
/// In the child of a fork a roster is empty, since the members do not go on there. Any fiber or
/// thread may call any member; the roster must outlive them, the tasks it may not.
class COIR_API roster {
 public:
  /// As many places as anybody could want.
  static constexpr std::size_t unbounded = std::numeric_limits<std::ptrdiff_t>::max();
  /// Called once for each member that failed, after that member has left; the roster lives on until
  /// it has returned. Never parks.
  using failure_handler = void (*)(void* argument, const std::exception_ptr& error) noexcept;

  explicit roster(std::size_t places, failure_handler on_failure = nullptr,
                  void* argument = nullptr) noexcept;
  roster(const roster&) = delete;
  roster& operator=(const roster&) = delete;

  /// Takes a place; parks while there is none. False when the deadline passed first. Throws
  /// fiber_exit when the caller is killed meanwhile.
  bool take_place(deadline until);
  /// Gives back a place that was taken for nothing. Never parks.
  void give_place() noexcept;

  /// Makes `seat`, part of the fresh task `t`, watch for its end. Never parks.
  void reserve(membership& seat, task& t) noexcept;
  /// Makes the task of `seat`, which was reserved and started, a member in a place that was taken,
  /// unless it has ended already. Never parks.
  void enter(membership& seat) noexcept;
  /// Makes `t` a member unless it has ended or is one; parks while there is no place. False when
  /// the deadline passed first. Throws as take_place, and std::bad_alloc.
  bool add(task& t, deadline until);
  /// Ends a membership, not the task; false when there was none. Never parks.
  bool discard(task& t) noexcept;
  /// True while `t` is a member. Never parks.
  bool contains(task& t) const noexcept { return t.is_watched_by(this); }
  /// True when the running fiber is a member. Never parks.
  bool contains_caller() const noexcept;
  /// The members, in the order in which they came. Throws std::bad_alloc; never parks.
  std::vector<task_ref<task>> members();

  /// Parks until no place is taken and nothing holds the roster. False when the deadline passed
  /// first. Throws fiber_exit when the caller is killed meanwhile.
  bool join(deadline until);
  /// As join without a deadline; a kill of the caller is kept until then.
  void wait_empty() noexcept;
  /// Kills each member that no such kill has reached before, the calling fiber last. Throws what
  /// task::request_kill does; never parks.
  void kill_members(const std::exception_ptr& error);
  /// kill_members(), also of those who come meanwhile, until join() would return. False when the
  /// deadline passed first.
  bool kill(const std::exception_ptr& error, deadline until);
  /// As kill without a deadline; a kill of the caller is kept until then. Members for whose kill
  /// there is no memory are waited for.
  void kill_all(const std::exception_ptr& error) noexcept;

  /// How many members there are. Never parks.
  std::size_t size() noexcept;
  /// How many places are free. Never parks.
  std::size_t free_places() noexcept;
  /// How many places there are, taken or not. Never parks.
  std::size_t places() noexcept;
  /// Changes that: more let those in who wait, fewer wait until members have ended. Never parks.
  void set_places(std::size_t places) noexcept;
  /// In the child of a fork, before it has a second thread: forgets all members, and who held the
  /// lock.
  void forget_all() noexcept;

  /// While it lives, the roster counts as not empty: for work that will ask for places.
  class COIR_API hold {
   public:
    explicit hold(roster& r) noexcept;
    hold(hold&& other) noexcept
        : roster_(std::exchange(other.roster_, nullptr)), generation_(other.generation_) {}
    hold& operator=(hold&&) = delete;
    ~hold();

   private:
    roster* roster_;
    std::uint32_t generation_;
  };

  /// A place that is given back unless it was used.
  class place {
   public:
    /// Takes over a place that was taken.
    explicit place(roster& r) noexcept : roster_(&r) {}
    place(const place&) = delete;
    place& operator=(const place&) = delete;
    ~place() {
      if (roster_) roster_->give_place();
    }
    /// It belongs to a member now.
    void use() noexcept { roster_ = nullptr; }

   private:
    roster* roster_;
  };

 private:
  class locked;
  enum class change : std::uint8_t { emptied, more_to_kill, timed_out };

  static bool ended(end_watch& w, task& t) noexcept;
  static void afterwards(end_watch& w, task& t) noexcept;
  bool is_empty() const noexcept { return taken_ == 0 && holds_ == 0; }
  void prepare(membership& seat, task& t) noexcept;
  void leave(membership& seat) noexcept;
  void give_up(membership& seat) noexcept;
  void free_place() noexcept;
  void wake_if_empty() noexcept;
  change wait_change(deadline until, interruptible kind);
  std::vector<task_ref<task>> collect(bool for_kill);
  void release_hold(std::uint32_t generation) noexcept;
  void reset() noexcept;

  const failure_handler on_failure_;
  void* const argument_;
  short_lock lock_;
  wait_queue spawners_;          ///< guarded by lock_, as all that follows: they want a place
  wait_queue joiners_;           ///< until it is empty
  wait_queue killers_;           ///< until it is empty, or has somebody to kill
  membership* first_ = nullptr;  ///< the members
  membership* last_ = nullptr;
  std::size_t members_ = 0;
  std::size_t unkilled_ = 0;  ///< members without is_killed
  std::size_t taken_ = 0;     ///< places: of members, and of those about to be
  std::size_t holds_ = 0;
  std::size_t bound_;
  std::uint32_t generation_ = 0;  ///< of the fork whose members these are
};

}  // namespace coir::detail
