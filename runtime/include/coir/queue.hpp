/// A FIFO between fibers: gevent.queue.Queue.
#pragma once

#include <coir/detail/wait_queue.hpp>
#include <coir/export.hpp>

#include <cstddef>
#include <deque>
#include <limits>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>

namespace coir {

/// Items from any number of putters to any number of getters, each in order of arrival. A bounded
/// queue makes putters wait while it is full; capacity 0 is a rendezvous: a put waits until its
/// item is taken. A getter that timed out loses nothing. Any fiber or thread may call any member;
/// the queue must outlive those who wait in it.
template <class T>
class queue {
 public:
  /// No bound.
  static constexpr std::size_t unbounded = std::numeric_limits<std::size_t>::max();

  /// Holds at most `capacity` items. Never parks.
  explicit queue(std::size_t capacity = unbounded) : capacity_(capacity) {}
  queue(const queue&) = delete;
  queue& operator=(const queue&) = delete;

  /// Appends an item; parks while the queue is full. Throws fiber_exit when the fiber is killed
  /// meanwhile (the item is then not in the queue), std::bad_alloc when there is no memory for it.
  void put(T item) { put_until(item, detail::never); }
  /// As put, but for no longer than `timeout`; false when the queue stayed full, and `item` is then
  /// unchanged.
  template <class Rep, class Period>
  bool put_for(T& item, std::chrono::duration<Rep, Period> timeout) {
    return put_until(item, detail::deadline_after(timeout));
  }
  /// As put_for with an item that is dropped when the queue stayed full.
  template <class Rep, class Period>
  bool put_for(T&& item, std::chrono::duration<Rep, Period> timeout) {
    return put_until(item, detail::deadline_after(timeout));
  }
  /// Appends an item if there is room, or a getter waits; never parks. False when full, and `item`
  /// is then unchanged.
  bool try_put(T& item) {
    std::lock_guard guard(lock_);
    return put_now(item);
  }
  /// As try_put with an item that is dropped when the queue is full.
  bool try_put(T&& item) { return try_put(item); }

  /// Takes the oldest item; parks while there is none. Throws fiber_exit when the fiber is killed
  /// meanwhile.
  T get() {
    std::optional<T> item;
    get_until(item, detail::never);
    return std::move(*item);
  }
  /// As get, but for no longer than `timeout`; nothing when the queue stayed empty.
  template <class Rep, class Period>
  std::optional<T> get_for(std::chrono::duration<Rep, Period> timeout) {
    std::optional<T> item;
    get_until(item, detail::deadline_after(timeout));
    return item;
  }
  /// Takes the oldest item if there is one; never parks.
  std::optional<T> try_get() {
    std::lock_guard guard(lock_);
    std::optional<T> item;
    get_now(item);
    return item;
  }

  /// How many items are in the queue now; never parks.
  std::size_t size() {
    std::lock_guard guard(lock_);
    return items_.size();
  }
  /// True while there is no item to get; never parks.
  bool empty() { return size() == 0; }
  /// True while a put would wait for room; never parks.
  bool full() { return size() >= capacity_; }
  /// The bound given at construction; never parks.
  std::size_t capacity() const noexcept { return capacity_; }

 private:
  static_assert(std::is_nothrow_move_constructible_v<T>,
                "an item must not get lost between two fibers");

  // A waiting putter's payload points at its item, a waiting getter's at its std::optional<T>.

  bool put_now(T& item) {
    if (detail::waiter* getter = getters_.take_one()) {
      static_cast<std::optional<T>*>(getter->payload)->emplace(std::move(item));
      detail::wait_queue::wake(*getter);
      return true;
    }
    if (items_.size() >= capacity_) return false;
    items_.push_back(std::move(item));
    return true;
  }

  /// Leaves `item` empty when there is none. Passed by reference rather than returned: a small
  /// optional would travel in a register, at the price of a stall after its two halves were written
  /// apart.
  void get_now(std::optional<T>& item) {
    if (!items_.empty()) {
      admit_putter();
      item.emplace(std::move(items_.front()));
      items_.pop_front();
    } else if (detail::waiter* putter = putters_.take_one()) {
      item.emplace(std::move(*static_cast<T*>(putter->payload)));
      detail::wait_queue::wake(*putter);
    }
  }

  /// Gives the room that a get is about to make to the longest waiting putter.
  void admit_putter() {
    detail::waiter* const putter = putters_.front();
    if (!putter) return;
    // May throw: the putter is still queued then
    items_.push_back(std::move(*static_cast<T*>(putter->payload)));
    detail::wait_queue::wake(*putters_.take_one());
  }

  bool put_until(T& item, detail::deadline until) {
    std::unique_lock guard(lock_);
    if (put_now(item)) return true;
    detail::waiter self;
    self.payload = &item;
    guard.release();
    const detail::wait_status how = putters_.wait(lock_, self, until, detail::wait_reason::queue);
    if (how == detail::wait_status::interrupted) detail::throw_if_interrupted();
    return how == detail::wait_status::woken;
  }

  void get_until(std::optional<T>& item, detail::deadline until) {
    std::unique_lock guard(lock_);
    get_now(item);
    if (item) return;
    detail::waiter self;
    self.payload = &item;
    guard.release();
    const detail::wait_status how = getters_.wait(lock_, self, until, detail::wait_reason::queue);
    if (how == detail::wait_status::interrupted) detail::throw_if_interrupted();
  }

  const std::size_t capacity_;
  detail::short_lock lock_;
  detail::wait_queue getters_;  ///< guarded by lock_; empty while there are items
  detail::wait_queue putters_;  ///< guarded by lock_; empty while there is room
  std::deque<T> items_;         ///< guarded by lock_
};

}  // namespace coir
