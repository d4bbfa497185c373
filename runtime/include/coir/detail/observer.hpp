/// Waiting for several objects of different kinds at a time, without taking anything from them.
#pragma once

#include <coir/detail/clock.hpp>
#include <coir/detail/short_lock.hpp>
#include <coir/detail/wait_queue.hpp>
#include <coir/export.hpp>

#include <cstddef>

namespace coir::detail {

/// What an object that can be waited for shows of itself. It must outlive those who observe it.
struct wait_source {
  short_lock* lock;
  wait_queue* waiters;                            ///< guarded by `lock`
  bool (*is_ready)(const void* object) noexcept;  ///< called with `lock` held
  const void* object;
};

class observation;

/// A place in the queue of one object. A waker that meets it tells the observation and goes on to
/// the next waiter: an observer takes nothing.
struct observer : shared_waiter {
  observer() noexcept { kind = waiter_kind::observer; }
  observation* by = nullptr;
  const wait_source* source = nullptr;
  observer* next_ready = nullptr;  ///< guarded by the observation's lock
  std::size_t index = 0;
};

/// Tells one fiber which of several objects became ready, in the order in which they did. Belongs
/// to the fiber that made it. Each object is told once.
class COIR_API observation {
 public:
  /// No object: what next() returns when its time is up, or when all have been told.
  static constexpr std::size_t none = static_cast<std::size_t>(-1);

  observation() noexcept = default;
  observation(const observation&) = delete;
  observation& operator=(const observation&) = delete;

  /// Begins to observe through `place`, under the number `index`; an object that is ready counts at
  /// once. `place` and `source` must outlive a call of end() with them. Never parks.
  void begin(observer& place, const wait_source& source, std::size_t index) noexcept;
  /// Leaves the object's queue. Never parks.
  static void end(observer& place) noexcept;
  /// Parks until an object is ready that was not told yet; its number, or `none`. Throws what
  /// interrupts the wait.
  std::size_t next(deadline until);

 private:
  static void tell(shared_waiter& ready) noexcept;

  short_lock lock_;
  wait_queue waiting_;                     ///< guarded by lock_: the fiber, while it waits
  observer* first_ready_ = nullptr;        ///< guarded by lock_
  observer** last_ready_ = &first_ready_;  ///< guarded by lock_
  std::size_t left_ = 0;                   ///< objects that were not told yet; the fiber's own
};

}  // namespace coir::detail
