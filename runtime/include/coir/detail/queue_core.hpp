/// How items pass from fiber to fiber: the machinery of queues and channels, and what select sees
/// of them.
#pragma once

#include <coir/detail/observer.hpp>
#include <coir/detail/queue_state.hpp>

#include <exception>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>

namespace coir::detail {

/// Passes items of type T from putters to getters. Both are served in order of arrival; `Store`
/// says in which order items that lie here come out. An item goes straight to a getter that waits,
/// else into the store while there is room, else it stays with its putter, who waits; with no room
/// at all that is a rendezvous. Items pass under the lock, so that each is in one place at any time
/// and a kill, a deadline or a close loses none.
///
/// Members that end in `_now` need the lock held and never park.
template <class T, class Store>
class queue_core : public queue_state {
 public:
  queue_core(std::size_t places, Store store) : queue_state(places), items(std::move(store)) {}

  /// Passes `item` on if a getter waits or there is room; false, and `item` is unchanged, when not
  /// or when closed. May throw std::bad_alloc, which changes nothing.
  bool put_now(T& item) {
    if (waiter* const getter = getters.take_one()) {
      accept(&item);
      static_cast<std::optional<T>*>(getter->payload)->emplace(std::move(item));
      wait_queue::wake(*getter);
      return true;
    }
    if (items.size() >= room) return false;
    items.push(std::move(item));
    accept(&items.next());  // who peeks has waited for the first item
    return true;
  }

  /// Takes the next item; leaves `item` empty when there is none. Passed by reference rather than
  /// returned: a small optional would travel in a register, at the price of a stall after its two
  /// halves were written apart.
  void get_now(std::optional<T>& item) noexcept {
    if (!items.empty()) {
      items.pop(item);
      admit_putter();
    } else if (waiter* const putter = putters.take_one()) {
      T& offered = *static_cast<T*>(putter->payload);
      accept(&offered);
      item.emplace(std::move(offered));
      wait_queue::wake(*putter);
    }
  }

  /// Whether put_now would pass an item on; true also when closed, since a put need not wait then.
  bool can_put_now() noexcept { return items.size() < room || getters.front() || is_closed; }
  /// Whether get_now would bring an item; true also when closed, since a get need not wait then.
  bool can_get_now() noexcept { return !items.empty() || putters.front() || is_closed; }

  /// Shows an item that is about to wait for a getter to those who peek.
  void offer_now(const T& item) noexcept {
    if (!peekers.empty()) [[unlikely]]
      show(&item);
  }

  /// put_now that waits until the deadline. Parks; throws fiber_exit when the fiber is killed (the
  /// item is still `item` then) and std::bad_alloc.
  pass_status put_until(T& item, deadline until, wait_reason why) {
    std::unique_lock guard(lock);
    if (put_now(item)) return pass_status::passed;
    if (is_closed) return pass_status::closed;
    if (until != 0) offer_now(item);
    waiter self;
    self.payload = &item;
    guard.release();
    if (!wait_in(putters, self, until, why)) return pass_status::not_in_time;
    return self.payload ? pass_status::passed : pass_status::closed;
  }

  /// get_now that waits until the deadline. Parks; throws fiber_exit when the fiber is killed.
  pass_status get_until(std::optional<T>& item, deadline until, wait_reason why) {
    std::unique_lock guard(lock);
    get_now(item);
    if (item) return pass_status::passed;
    if (is_closed) return pass_status::closed;
    waiter self;
    self.payload = &item;
    guard.release();
    if (!wait_in(getters, self, until, why)) return pass_status::not_in_time;
    return item ? pass_status::passed : pass_status::closed;
  }

  /// Copies the item that a get would bring, and waits for it until the deadline. Parks; throws
  /// fiber_exit when the fiber is killed, and what copying throws.
  pass_status peek_until(std::optional<T>& item, deadline until, wait_reason why) {
    std::unique_lock guard(lock);
    if (const T* const next = next_now()) {
      item.emplace(*next);
      return pass_status::passed;
    }
    if (is_closed) return pass_status::closed;
    copy_keeper keeper{{copy_keeper::copy_item}, item, nullptr};
    waiter self;
    self.payload = static_cast<peeker*>(&keeper);
    guard.release();
    if (!wait_in(peekers, self, until, why)) return pass_status::not_in_time;
    if (keeper.error) std::rethrow_exception(std::move(keeper.error));
    return item ? pass_status::passed : pass_status::closed;
  }

  /// put_until that does not wait and needs no waiter.
  pass_status try_put(T& item) {
    std::lock_guard guard(lock);
    if (put_now(item)) return pass_status::passed;
    return is_closed ? pass_status::closed : pass_status::not_in_time;
  }
  /// get_until that does not wait and needs no waiter.
  pass_status try_get(std::optional<T>& item) {
    std::lock_guard guard(lock);
    get_now(item);
    if (item) return pass_status::passed;
    return is_closed ? pass_status::closed : pass_status::not_in_time;
  }

  /// For wait_any and its kin: ready while get_now would bring an item, and when closed.
  wait_source as_wait_source() noexcept {
    return {&lock, &getters,
            [](const void* self) noexcept {
              return const_cast<queue_core*>(static_cast<const queue_core*>(self))->can_get_now();
            },
            this};
  }

  Store items;  ///< guarded by lock

 private:
  static_assert(std::is_nothrow_move_constructible_v<T>,
                "an item must not get lost between two fibers");

  struct copy_keeper : peeker {
    static void copy_item(peeker& self, const void* item) noexcept {
      auto& keeper = static_cast<copy_keeper&>(self);
      try {
        keeper.into.emplace(*static_cast<const T*>(item));
      } catch (...) {
        keeper.error = std::current_exception();
      }
    }
    std::optional<T>& into;
    std::exception_ptr error;
  };

  /// Counts an item that has got in, and shows it to those who peek.
  void accept(const T* item) noexcept {
    ++unfinished;
    if (!peekers.empty()) [[unlikely]]
      show(item);
  }

  /// Gives the room that a get has made to the longest waiting putter.
  void admit_putter() noexcept {
    waiter* const putter = putters.take_one();
    if (!putter) return;
    items.push(std::move(*static_cast<T*>(putter->payload)));  // needs no memory after the get
    ++unfinished;
    wait_queue::wake(*putter);
  }

  /// The item that get_now would bring; null when there is none.
  const T* next_now() noexcept {
    if (!items.empty()) return &items.next();
    waiter* const putter = putters.front();
    return putter ? static_cast<const T*>(putter->payload) : nullptr;
  }
};

}  // namespace coir::detail
