/// What the three kinds of queue share: everything but the order in which items come out.
#pragma once

#include <coir/detail/item_range.hpp>
#include <coir/detail/queue_core.hpp>
#include <coir/exceptions.hpp>

#include <concepts>
#include <cstddef>
#include <limits>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <utility>

namespace coir::detail {

struct select_access;

/// Items from any number of putters to any number of getters: gevent's Queue and JoinableQueue in
/// one. A bounded queue makes putters wait while it is full; capacity 0 is a rendezvous, in which a
/// put waits until its item is taken. Putters are served in order of arrival, and so are getters; a
/// waiting one comes before any that arrive later. A getter that timed out loses nothing. Any fiber
/// or thread may call any member; the queue must outlive those who wait in it. Items are moved, and
/// by peek copied, while the queue is locked: neither may wait or use the same queue.
template <class T, class Store>
class basic_queue {
 public:
  using value_type = T;

  /// No bound.
  static constexpr std::size_t unbounded = std::numeric_limits<std::size_t>::max();

  basic_queue(const basic_queue&) = delete;
  basic_queue& operator=(const basic_queue&) = delete;

  // Putting. Each throws shut_down when the queue has been shut down, at once or while it waits,
  // and std::bad_alloc when there is no memory for the item; in both cases, and when the fiber is
  // killed, the item is not in the queue.

  /// Adds an item; parks while the queue is full. Throws fiber_exit when the fiber is killed
  /// meanwhile.
  void put(T item) { put_until_deadline(item, never); }
  /// As put, but for no longer than `timeout`; false when the queue stayed full, and `item` is then
  /// unchanged.
  template <class Rep, class Period>
  bool put_for(T& item, std::chrono::duration<Rep, Period> timeout) {
    return put_until_deadline(item, deadline_after(timeout));
  }
  /// As put_for with an item that is dropped when the queue stayed full.
  template <class Rep, class Period>
  bool put_for(T&& item, std::chrono::duration<Rep, Period> timeout) {
    return put_until_deadline(item, deadline_after(timeout));
  }
  /// Adds an item if there is room, or a getter waits; never parks. False when full, and `item` is
  /// then unchanged.
  bool try_put(T& item) { return has_passed(core_.try_put(item)); }
  /// As try_put with an item that is dropped when the queue is full.
  bool try_put(T&& item) { return try_put(item); }

  // Getting. Each throws shut_down when the queue has been shut down, at once or while it waits,
  // and no item is left.

  /// Takes the next item; parks while there is none. Throws fiber_exit when the fiber is killed
  /// meanwhile.
  T get() {
    std::optional<T> item;
    get_until_deadline(item, never);
    return std::move(*item);
  }
  /// As get, but for no longer than `timeout`; nothing when the queue stayed empty.
  template <class Rep, class Period>
  std::optional<T> get_for(std::chrono::duration<Rep, Period> timeout) {
    std::optional<T> item;
    get_until_deadline(item, deadline_after(timeout));
    return item;
  }
  /// Takes the next item if there is one; never parks.
  std::optional<T> try_get() {
    std::optional<T> item;
    has_passed(core_.try_get(item));
    return item;
  }

  // Looking. Each throws shut_down as getting does, and what copying the item throws.

  /// Copies the item that a get would bring and leaves it there; parks while there is none. An item
  /// that is put then is seen by all who peek, even if a getter takes it at once. Throws fiber_exit
  /// when the fiber is killed meanwhile.
  T peek() requires std::copy_constructible<T> {
    std::optional<T> item;
    peek_until_deadline(item, never);
    return std::move(*item);
  }
  /// As peek, but for no longer than `timeout`; nothing when the queue stayed empty.
  template <class Rep, class Period>
    requires std::copy_constructible<T> std::optional<T> peek_for(
        std::chrono::duration<Rep, Period> timeout) {
      std::optional<T> item;
      peek_until_deadline(item, deadline_after(timeout));
      return item;
    }
  /// Copies the next item if there is one; never parks.
  std::optional<T> try_peek() requires std::copy_constructible<T> {
    std::optional<T> item;
    peek_until_deadline(item, 0);
    return item;
  }

  /// How many items are in the queue now; never parks.
  std::size_t size() const {
    std::lock_guard guard(core_.lock);
    return core_.items.size();
  }
  /// True while there is no item in the queue; never parks.
  bool empty() const { return size() == 0; }
  /// True while a put would wait for room; never parks.
  bool full() const { return size() >= capacity(); }
  /// The bound given at construction; never parks.
  std::size_t capacity() const noexcept { return core_.capacity; }

  /// Used by wait_any and its kin: ready while a get or recv would not wait.
  wait_source as_wait_source() noexcept { return core_.as_wait_source(); }

  // Counting what was put and has been dealt with. A queue whose getters never call task_done is
  // used like any other.

  /// Says that an item which was got has been dealt with; the last one wakes those in join. Never
  /// parks. Throws std::logic_error when every item that was put has been reported already.
  void task_done() {
    std::lock_guard guard(core_.lock);
    if (core_.unfinished == 0)
      throw std::logic_error("coir::queue: task_done called more often than items were put");
    core_.finish(1);
  }
  /// How many items were put and not reported by task_done; never parks.
  std::size_t unfinished_tasks() const {
    std::lock_guard guard(core_.lock);
    return core_.unfinished;
  }
  /// Parks until every item that was put has been reported by task_done. Throws fiber_exit when the
  /// fiber is killed meanwhile.
  void join() { core_.join_until(never); }
  /// As join, but for no longer than `timeout`; true when nothing is unfinished.
  template <class Rep, class Period>
  bool join_for(std::chrono::duration<Rep, Period> timeout) {
    return core_.join_until(deadline_after(timeout));
  }

  // Ending. As in Python and gevent, what has begun goes on: join still waits for items that were
  // got and not reported.

  /// Ends the queue: from now on puts fail, also those that wait; gets bring what is left and fail
  /// when nothing is. Calling it again does nothing more. Never parks.
  void shutdown() {
    std::lock_guard guard(core_.lock);
    core_.close();
  }
  /// Ends the queue at once: shutdown() that also drops the items, which then count as dealt with.
  /// Never parks; the items are destroyed by the caller.
  void shutdown_now() {
    std::optional<Store> dropped;
    std::lock_guard guard(core_.lock);
    core_.close();
    const std::size_t count = core_.items.size();
    dropped.emplace(std::move(core_.items));
    core_.finish(count);
  }
  /// True once shutdown or shutdown_now was called; never parks.
  bool is_shut_down() const {
    std::lock_guard guard(core_.lock);
    return core_.is_closed;
  }

  // Iterating takes the items out. C++ has no item that stops every loop, as gevent's StopIteration
  // does: a loop ends when the queue has been shut down and is empty, or at an item that until()
  // names.

  /// Takes the first item; parks while there is none. Equal to end() when the queue has been shut
  /// down and is empty. Throws fiber_exit when the fiber is killed meanwhile; so does ++.
  item_iterator<basic_queue> begin() { return {*this, &no_stop_}; }
  /// Where range-for ends; never parks.
  std::default_sentinel_t end() const noexcept { return {}; }
  /// A range of the items up to one that equals `stop`, which is taken out, too. Refers to the
  /// queue. Never parks by itself.
  template <std::convertible_to<T> Stop>
    requires std::equality_comparable<T> items_until<basic_queue, T> until(Stop&& stop) {
      return {*this, std::forward<Stop>(stop)};
    }

 protected:
  basic_queue(std::size_t capacity, Store store) : core_(capacity, std::move(store)) {}
  ~basic_queue() = default;

 private:
  friend struct select_access;
  template <class, class>
  friend class item_iterator;

  static bool has_passed(pass_status how) {
    if (how == pass_status::closed) throw shut_down();
    return how == pass_status::passed;
  }
  bool put_until_deadline(T& item, deadline until) {
    return has_passed(core_.put_until(item, until, wait_reason::queue));
  }
  void get_until_deadline(std::optional<T>& item, deadline until) {
    has_passed(core_.get_until(item, until, wait_reason::queue));
  }
  void peek_until_deadline(std::optional<T>& item, deadline until) {
    has_passed(core_.peek_until(item, until, wait_reason::queue));
  }
  /// For iterators: leaves `item` empty at the end.
  void next_item(std::optional<T>& item) { core_.get_until(item, never, wait_reason::queue); }

  static constexpr no_stop_item no_stop_{};

  queue_core<T, Store> core_;
};

}  // namespace coir::detail
