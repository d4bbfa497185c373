/// What queues and channels are made of, apart from their items: who waits, how many there is room
/// for, what was closed.
#pragma once

#include <coir/detail/wait_queue.hpp>
#include <coir/export.hpp>

#include <cstddef>
#include <cstdint>

namespace coir::detail {

/// How an attempt to pass an item ended.
enum class pass_status : std::uint8_t {
  passed,       ///< the item has changed hands
  not_in_time,  ///< it has not, and still could
  closed,       ///< it has not and never will
};

/// A fiber in a peek. Its waiter's payload points at this.
struct peeker {
  /// Keeps a copy of `item`, or what copying it threw.
  void (*copy)(peeker& self, const void* item) noexcept;
};

/// The untyped half of a queue. Guarded by `lock`, except what is constant. Every member function
/// needs the lock held unless it says otherwise.
///
/// A waiting putter's payload points at its item, a waiting getter's at its std::optional<T>.
/// Whoever closes the queue clears a putter's payload and leaves a getter's empty, and wakes both.
class COIR_API queue_state {
 public:
  explicit queue_state(std::size_t places) noexcept : room(places), capacity(places) {}
  queue_state(const queue_state&) = delete;
  queue_state& operator=(const queue_state&) = delete;

  /// Waits in `where` with the lock held on entry and free on return; true when woken. Parks;
  /// throws fiber_exit when the fiber is killed.
  bool wait_in(wait_queue& where, waiter& self, deadline until, wait_reason why) {
    const wait_status how = where.wait(lock, self, until, why);
    if (how == wait_status::interrupted) throw_if_interrupted();
    return how == wait_status::woken;
  }
  /// Shows `item` to all who peek.
  void show(const void* item) noexcept;
  /// No item gets in any more; all who wait are woken.
  void close() noexcept;

  /// `count` of the items that were put have been dealt with. The caller has checked that there are
  /// so many.
  void finish(std::size_t count) noexcept;
  /// Takes the lock itself. Parks until every item that was put has been dealt with, or until the
  /// deadline; true for the former. Throws fiber_exit when the fiber is killed.
  bool join_until(deadline until);

  mutable short_lock lock;
  wait_queue getters;          ///< empty while there are items
  wait_queue putters;          ///< empty while there is room
  wait_queue peekers;          ///< empty while there are items
  std::size_t room;            ///< for how many items: the capacity, or 0 once closed
  std::size_t unfinished = 0;  ///< how many were put, less those dealt with
  const std::size_t capacity;
  wait_queue joiners;  ///< empty while `unfinished` is 0
  bool is_closed = false;
};

}  // namespace coir::detail
