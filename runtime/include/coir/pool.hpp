/// A bound on how many fibers run at a time: gevent.pool.Pool.
#pragma once

#include <coir/fiber.hpp>
#include <coir/semaphore.hpp>

#include <cstddef>
#include <functional>
#include <limits>
#include <ranges>
#include <vector>

namespace coir {

/// Spawns fibers, at most `size` at a time. The pool must outlive its fibers; its destructor joins
/// them. Any fiber or thread may call any member.
class COIR_API pool {
 public:
  /// No bound.
  static constexpr std::size_t unbounded = std::numeric_limits<std::ptrdiff_t>::max();

  /// At most `size` fibers at a time. Throws std::invalid_argument when `size` is 0: nothing could
  /// ever run.
  explicit pool(std::size_t size = unbounded);
  pool(const pool&) = delete;
  pool& operator=(const pool&) = delete;
  /// Parks until the pool is empty. A kill of the waiting fiber is kept until then.
  ~pool();

  /// coir::spawn within the pool; parks while the pool is full. Throws fiber_exit when the caller
  /// is killed meanwhile.
  template <class Function, class... Args>
    requires std::invocable<std::decay_t<Function>, std::decay_t<Args>...>
  auto spawn(Function&& f, Args&&... args) {
    slot place(*this);
    return coir::spawn(
        [place = std::move(place),
         f = std::decay_t<Function>(std::forward<Function>(f))](auto&&... as) mutable {
          return std::invoke(std::move(f), std::forward<decltype(as)>(as)...);
        },
        std::forward<Args>(args)...);
  }

  /// Calls `f` on each item, at most `size` at a time, and returns the results in the order of the
  /// items; parks until all have ended. The first exception in that order is rethrown, after all
  /// have ended. `f` is shared by the calls.
  template <class Function, std::ranges::input_range Range>
  auto map(Function f, Range&& items) {
    using item_type = std::ranges::range_value_t<Range>;
    using result = std::invoke_result_t<Function&, item_type&>;
    std::vector<fiber<result>> fibers;
    all_ended<std::vector<fiber<result>>> guard{fibers};
    for (auto&& item : items)
      fibers.push_back(spawn([&f](item_type value) -> result { return f(value); }, item));
    joinall(fibers);
    if constexpr (std::is_void_v<result>) {
      for (auto& each : fibers) each.get();
    } else {
      std::vector<result> results;
      results.reserve(fibers.size());
      for (auto& each : fibers) results.push_back(std::move(each.get()));
      return results;
    }
  }

  /// Parks until no fiber of the pool is left. Throws fiber_exit when the caller is killed
  /// meanwhile.
  void join() { join_until(detail::never); }
  /// As join, but for no longer than `timeout`; true when none is left.
  template <class Rep, class Period>
  bool join_for(std::chrono::duration<Rep, Period> timeout) {
    return join_until(detail::deadline_after(timeout));
  }

  /// How many more fibers could be spawned now without waiting; never parks.
  std::size_t free_count() noexcept { return static_cast<std::size_t>(slots_.available()); }
  /// How many fibers of the pool have not ended; never parks.
  std::size_t size() noexcept;

 private:
  /// One place in the pool; given back when the function of its fiber is destroyed.
  class COIR_API slot {
   public:
    explicit slot(pool& p);
    slot(slot&& other) noexcept : pool_(std::exchange(other.pool_, nullptr)) {}
    slot& operator=(slot&&) = delete;
    ~slot();

   private:
    pool* pool_;
  };

  /// Ends what a map has begun when it is left by an exception, since its fibers use the frame of
  /// map.
  template <class Fibers>
  struct all_ended {
    Fibers& fibers;
    ~all_ended() {
      for (auto& each : fibers) each.kill(false);
      for (auto& each : fibers) each.state_->wait_ended();
    }
  };

  bool join_until(detail::deadline until);

  counting_semaphore slots_;
  detail::short_lock lock_;
  detail::wait_queue joiners_;  ///< guarded by lock_
  std::size_t members_ = 0;     ///< guarded by lock_
};

}  // namespace coir
