/// Queues between fibers: gevent.queue. They differ in which item a get brings: the oldest, the
/// newest or the smallest. What they have in common, which is everything else, is in
/// detail/basic_queue.hpp:
///
///     put put_for try_put         get get_for try_get         peek peek_for try_peek
///     size empty full capacity    task_done unfinished_tasks join join_for
///     shutdown shutdown_now is_shut_down                      begin end until
///
/// Calls that wait throw fiber_exit when their fiber is killed. Once a queue has been shut down,
/// puts throw shut_down, and so do gets and peeks when no item is left: all forms do, since an
/// empty answer of a try_get would hide that nothing will ever come.
#pragma once

#include <coir/detail/basic_queue.hpp>
#include <coir/detail/item_store.hpp>

#include <cstddef>
#include <utility>

namespace coir {

/// Oldest item first: gevent's Queue and JoinableQueue. With capacity 0, a rendezvous, it is
/// gevent's Channel.
template <class T>
class queue : public detail::basic_queue<T, detail::fifo_store<T>> {
  using base = detail::basic_queue<T, detail::fifo_store<T>>;

 public:
  /// Holds at most `capacity` items. Never parks.
  explicit queue(std::size_t capacity = base::unbounded) : base(capacity, {}) {}
};

/// Newest item first: gevent's LifoQueue. Waiting putters and getters are still served in order of
/// arrival; so are the items of a rendezvous, which lie with their putters.
template <class T>
class lifo_queue : public detail::basic_queue<T, detail::lifo_store<T>> {
  using base = detail::basic_queue<T, detail::lifo_store<T>>;

 public:
  /// Holds at most `capacity` items. Never parks.
  explicit lifo_queue(std::size_t capacity = base::unbounded) : base(capacity, {}) {}
};

/// Smallest item first, by `<` unless said otherwise: gevent's PriorityQueue. Mind the difference
/// from std::priority_queue, which with the same comparison gives the largest: here `Compare(a, b)`
/// says that `a` comes out before `b`. Of equal items the oldest comes first. Only items that lie
/// in the queue have an order: those of waiting putters get in by order of arrival. `Compare` runs
/// while the queue is locked; it must not wait, use the same queue or throw (std::terminate).
template <class T, class Compare = detail::less>
class priority_queue : public detail::basic_queue<T, detail::priority_store<T, Compare>> {
  using base = detail::basic_queue<T, detail::priority_store<T, Compare>>;

 public:
  /// Holds at most `capacity` items, in the order that `compare` gives them. Never parks.
  explicit priority_queue(std::size_t capacity = base::unbounded, Compare compare = Compare())
      : base(capacity, detail::priority_store<T, Compare>(std::move(compare))) {}
};

}  // namespace coir
