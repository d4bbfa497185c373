/// Runs of fibers that can be repeated: for tests of programs that use coir.
///
/// In a replay a seed picks which of the ready fibers goes on, which worker runs, who begins what
/// was spawned on a set of workers. The same seed gives the same schedule; another seed gives
/// another. Time is virtual: it jumps to the next deadline when nobody has anything to do, so that
/// an hour of sleep takes no time, and a test cannot be late.
///
/// What takes part is the calling worker, and the sets of workers that are made in the replay.
/// Their threads take turns. What can make two runs with one seed differ is what comes from
/// outside: other threads and processes, offload(), sockets to elsewhere, addresses that are
/// compared, random numbers. While offloaded work is under way, the clock stands. A fiber that
/// blocks its thread by other means than coir's holds up all participants.
///
/// The environment can do the same to a whole program, without a change to it: with COIR_SEED set,
/// the first thread that uses coir takes part in a replay from its first call on, on the real
/// clock, or on the virtual one if COIR_CLOCK=virtual.
#pragma once

#include <coir/export.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace coir {

/// How a replay is run.
struct replay_options {
  /// What picks the schedule.
  std::uint64_t seed = 0;
  /// Whether time is virtual; else it goes by as ever, and two runs differ by what it brings.
  bool virtual_clock = true;
};

/// What can be said of a replay. Two runs with the same schedule have the same.
struct replay_report {
  std::uint64_t seed = 0;   ///< the one it was given
  std::uint64_t steps = 0;  ///< how many times a fiber was picked to go on
  std::uint64_t trace = 0;  ///< a hash over which ones, on which worker, in order
  bool operator==(const replay_report&) const = default;
};

/// What is known so far of the replay in which the caller takes part; all 0 outside of one. Never
/// parks.
COIR_API replay_report current_replay() noexcept;

/// Between its construction and its end the calling thread's worker, with the sets of workers that
/// are made meanwhile, takes part in a replay. One at a time in a process.
class COIR_API replay_scope {
 public:
  /// Makes the calling thread a worker. Throws std::logic_error when a replay is in progress, or
  /// fibers are alive on this worker.
  explicit replay_scope(const replay_options& how);
  replay_scope(const replay_scope&) = delete;
  replay_scope& operator=(const replay_scope&) = delete;
  /// All fibers and sets of workers that were made meanwhile have ended.
  ~replay_scope();
};

/// Calls `f` in a replay, on the calling fiber; what it throws comes out. All fibers and sets of
/// workers that it makes must have ended when it returns. Throws what replay_scope throws.
template <class Function>
replay_report replay(const replay_options& how, Function&& f) {
  const replay_scope scope(how);
  std::forward<Function>(f)();
  return current_replay();
}

namespace detail {
COIR_API std::uint64_t first_seed(std::size_t& count) noexcept;
COIR_API void report_seed(std::uint64_t seed) noexcept;
}  // namespace detail

/// Calls `f` in `count` replays, each with another seed, until it throws or `has_failed()` is true
/// after it: then says on stderr which COIR_SEED repeats that run, and lets the exception go on, or
/// returns false. With COIR_SEED set there is one run, with that seed; otherwise the first seed is
/// random. For GoogleTest, `has_failed` is testing::Test::HasFailure.
template <class Function, class HasFailed>
bool explore_schedules(std::size_t count, Function&& f, HasFailed&& has_failed) {
  std::uint64_t seed = detail::first_seed(count);
  for (; count > 0; --count, ++seed) {
    try {
      replay({.seed = seed}, f);
    } catch (...) {
      detail::report_seed(seed);
      throw;
    }
    if (has_failed()) {
      detail::report_seed(seed);
      return false;
    }
  }
  return true;
}

/// explore_schedules for functions that throw when they fail.
template <class Function>
bool explore_schedules(std::size_t count, Function&& f) {
  return explore_schedules(count, std::forward<Function>(f), [] { return false; });
}

}  // namespace coir
