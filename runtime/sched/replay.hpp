/// Runs whose schedule is picked by a seed, so that they can be repeated.
///
/// The workers that take part run one at a time: whoever has the baton runs its fibers, and hands
/// the baton on when it gives a fiber's turn away. All choices (which worker gets the baton, which
/// of its ready fibers goes on, whether a fiber is begun instead) are rolled by one generator,
/// which only the holder touches. So the same seed gives the same run, as long as nothing from
/// outside takes part: threads that are no participants, offloaded work, other processes, the
/// clock. The clock can be replaced: virtual time goes on by a little with each step, and jumps to
/// the first timer when no participant has anything to do.
///
/// A participant that waits in the kernel itself, not in coir, keeps the baton, and all others wait
/// for it.
#pragma once

#include <coir/detail/clock.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace coir::detail {

class worker;

struct replay_setup {
  std::uint64_t seed = 0;
  bool has_virtual_clock = false;    ///< the process's time is the run's while it lasts
  std::uint64_t first_fiber_id = 0;  ///< fibers are told apart by their numbers less this
  bool is_ambient = false;           ///< by the environment, for as long as no other is asked for
};

/// What is known of a run so far.
struct replay_trace {
  std::uint64_t steps = 0;  ///< how many times a fiber was picked
  std::uint64_t hash = 0;   ///< over who was picked, in order
};

class replay {
 public:
  /// There is no other.
  explicit replay(const replay_setup& how);
  replay(const replay&) = delete;
  replay& operator=(const replay&) = delete;
  ~replay();

  /// The one in progress, or null. Any thread.
  static replay* current() noexcept;

  /// A place for one more worker; the first to be enlisted has the baton. Else the holder only.
  /// Throws std::bad_alloc.
  std::size_t enlist();
  /// The worker of that place is here: waits for the baton.
  void arrive(std::size_t place) noexcept;
  /// It will not be here again; hands the baton on.
  void leave(std::size_t place) noexcept;

  // The holder only.

  /// False once the worker of that place has left.
  bool is_present(std::size_t place) const noexcept;
  /// The worker of that place will not come.
  void strike(std::size_t place) noexcept;
  /// For the child of a fork.
  void keep_only(std::size_t place) noexcept;

  /// A number below `sides`.
  std::size_t roll(std::size_t sides) noexcept;
  /// Perhaps lets another run, and returns when it is this one's turn again. `is_idle`: it has
  /// nothing to do until `due`, and others come first.
  void hand_on(std::size_t place, bool is_idle, deadline due) noexcept;
  /// Notes that the fiber of that number was picked.
  void note_pick(std::size_t place, std::uint64_t fiber_id) noexcept;
  const replay_trace& trace() const noexcept { return trace_; }
  const replay_setup& setup() const noexcept { return setup_; }
  /// True when no other worker takes part.
  bool is_alone() const noexcept { return present_ == 1; }

 private:
  struct seat {
    bool is_present = false;
    deadline due = never;  ///< when it has something to do, as it said when it was idle
  };

  void give(std::size_t to) noexcept;
  void wait_for_baton(std::size_t place) noexcept;
  std::size_t any_present() noexcept;
  std::size_t next_present(std::size_t after) const noexcept;
  void pass_time() noexcept;
  void wait_for_outside() noexcept;

  const replay_setup setup_;
  std::uint64_t state_;  ///< of the generator
  replay_trace trace_;
  std::vector<seat> seats_;
  std::size_t present_ = 0;
  std::uint64_t ends_seen_ = 0;           ///< of outside work
  int waits_in_a_row_ = 0;                ///< for something from outside
  std::size_t idle_in_a_row_ = 0;         ///< turns that brought nothing, since the last that did
  std::atomic<std::uint32_t> holder_{0};  ///< of the baton, which guards all that is above
};

/// To be called before a thread that takes no part is given work that fibers wait for, and after
/// what wakes them: in between a virtual clock stands. Any thread.
void begin_outside_work() noexcept;
void end_outside_work() noexcept;

}  // namespace coir::detail
