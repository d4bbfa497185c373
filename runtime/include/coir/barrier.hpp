/// A point that a number of fibers pass together, again and again.
#pragma once

#include <coir/detail/wait_queue.hpp>
#include <coir/export.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace coir {
namespace detail {

/// The counting and waiting of a barrier. Guarded by its own lock; any thread.
class COIR_API barrier_state {
 public:
  /// An arrival: of which phase, and whether it was the last that phase waited for. Who made the
  /// last one must call end_phase().
  struct arrival {
    std::uint64_t phase;
    bool is_last;
  };

  /// Throws std::invalid_argument when `expected` is negative.
  constexpr explicit barrier_state(std::ptrdiff_t expected) : left_(expected), expected_(expected) {
    if (expected < 0) refuse_negative();
  }
  barrier_state(const barrier_state&) = delete;
  barrier_state& operator=(const barrier_state&) = delete;

  /// Counts arrivals, of which `dropped` are not expected in later phases. Throws as
  /// barrier::arrive. Never parks.
  arrival arrive(std::ptrdiff_t arrivals, std::ptrdiff_t dropped);
  /// Begins the next phase and wakes those who waited for the end of this one. Never parks.
  void end_phase() noexcept;
  /// Parks until that phase has ended; true when it has. Throws fiber_exit.
  bool wait(std::uint64_t phase, deadline until) const;

 private:
  [[noreturn]] static void refuse_negative();

  mutable short_lock lock_;
  mutable wait_queue waiters_;  ///< guarded by lock_
  std::uint64_t phase_ = 0;     ///< guarded by lock_
  std::ptrdiff_t left_;         ///< guarded by lock_: arrivals that the phase still waits for
  std::ptrdiff_t expected_;     ///< guarded by lock_: arrivals that the next phase will wait for
};

/// What a barrier calls when it is given nothing.
struct no_completion {
  void operator()() const noexcept {}
};

}  // namespace detail

/// std::barrier for fibers, with timed waits. Each phase waits for as many arrivals as are
/// expected; the last of them calls the completion function, in its own fiber, and only then do
/// those who wait go on and the next phase begins. Any fiber or thread may call any member; must
/// not be destroyed while waited on.
///
/// The completion function may park, and unlike with the standard library it may throw: the phase
/// ends all the same, and the exception leaves the call that arrived last.
template <class CompletionFunction = detail::no_completion>
class barrier {
 public:
  /// Stands for an arrival; says which phase to wait for.
  class arrival_token {
   public:
    arrival_token(arrival_token&&) noexcept = default;
    arrival_token& operator=(arrival_token&&) noexcept = default;

   private:
    friend class barrier;
    explicit arrival_token(std::uint64_t phase) noexcept : phase_(phase) {}
    std::uint64_t phase_;
  };

  /// The highest number of arrivals that may be expected.
  static constexpr std::ptrdiff_t max() noexcept { return PTRDIFF_MAX; }

  /// Expects so many arrivals in each phase. Throws std::invalid_argument when that is negative.
  /// Never parks.
  constexpr explicit barrier(std::ptrdiff_t expected,
                             CompletionFunction completion = CompletionFunction())
      : state_(expected), completion_(std::move(completion)) {}
  barrier(const barrier&) = delete;
  barrier& operator=(const barrier&) = delete;

  /// Counts `arrivals`, without waiting for the others. Throws std::invalid_argument when that is
  /// not positive and std::logic_error when the phase does not expect so many more; nothing is
  /// counted then. Parks only if the completion function does.
  [[nodiscard]] arrival_token arrive(std::ptrdiff_t arrivals = 1) {
    const detail::barrier_state::arrival ours = state_.arrive(arrivals, 0);
    if (ours.is_last) complete();
    return arrival_token(ours.phase);
  }
  /// Parks until the phase of that arrival has ended; returns at once if it has. Throws fiber_exit
  /// when the fiber is killed meanwhile. The token must come from this barrier.
  void wait(arrival_token&& token) const { state_.wait(token.phase_, detail::never); }
  /// As wait, but for no longer than `timeout`; true when the phase has ended. The token remains
  /// good for another wait.
  template <class Rep, class Period>
  bool wait_for(const arrival_token& token, std::chrono::duration<Rep, Period> timeout) const {
    return state_.wait(token.phase_, detail::deadline_after(timeout));
  }
  /// As wait_for, but until `when` at the latest.
  template <class Duration>
  bool wait_until(const arrival_token& token,
                  std::chrono::time_point<std::chrono::steady_clock, Duration> when) const {
    return state_.wait(token.phase_, detail::deadline_at(when));
  }
  /// arrive and wait in one. A fiber that is killed meanwhile has arrived all the same, and the
  /// next phase expects it: one that is to leave calls arrive_and_drop.
  void arrive_and_wait() {
    const detail::barrier_state::arrival ours = state_.arrive(1, 0);
    if (ours.is_last) return complete();
    state_.wait(ours.phase, detail::never);
  }
  /// As arrive, and this phase is the last that expects the caller.
  void arrive_and_drop() {
    if (state_.arrive(1, 1).is_last) complete();
  }

 private:
  struct phase_end {
    detail::barrier_state& state;
    ~phase_end() { state.end_phase(); }
  };

  void complete() {
    const phase_end at_return{state_};
    completion_();
  }

  detail::barrier_state state_;
  CompletionFunction completion_;
};

}  // namespace coir
