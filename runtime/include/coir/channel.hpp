/// Go's channels. Several at once: <coir/select.hpp>.
#pragma once

#include <coir/detail/item_range.hpp>
#include <coir/detail/item_store.hpp>
#include <coir/detail/queue_core.hpp>
#include <coir/exceptions.hpp>

#include <cstddef>
#include <mutex>
#include <optional>
#include <utility>

namespace coir {
namespace detail {

struct select_access;

}  // namespace detail

/// What try_recv and recv_for bring: an item, or why there is none. It is a std::optional in every
/// respect; an empty one also says whether an item may still come.
template <class T>
class received : public std::optional<T> {
 public:
  /// Used by channel.
  received(std::optional<T> item, bool is_closed)
      : std::optional<T>(std::move(item)), is_closed_(is_closed) {}
  /// True when there is no item and never will be: the channel is closed and empty. Never parks.
  bool is_closed() const noexcept { return is_closed_; }

 private:
  bool is_closed_;
};

/// Passes items from senders to receivers, each in order of arrival. Without capacity a send waits
/// until its item is received; with it, while so many items lie in the channel. Closing ends it:
/// receivers get what is left and then nothing, while sending is an error. A send or recv that
/// timed out or was killed has moved nothing. Any fiber or thread may call any member; the channel
/// must outlive those who wait in it. Items are moved while the channel is locked: that may not
/// wait or use the same channel.
template <class T>
class channel {
 public:
  using value_type = T;  ///< what is passed

  /// Holds at most `capacity` items. Never parks.
  explicit channel(std::size_t capacity = 0) : core_(capacity, {}) {}
  channel(const channel&) = delete;
  channel& operator=(const channel&) = delete;

  /// Sends an item; parks until it is received or there is room for it. Throws channel_closed when
  /// the channel is closed, also while it waits, fiber_exit when the fiber is killed meanwhile, and
  /// std::bad_alloc; the item is then not in the channel.
  void send(T item) { has_passed(core_.put_until(item, detail::never, why)); }
  /// As send, but for no longer than `timeout`; false when nobody took the item, which is then
  /// unchanged.
  template <class Rep, class Period>
  bool send_for(T& item, std::chrono::duration<Rep, Period> timeout) {
    return has_passed(core_.put_until(item, detail::deadline_after(timeout), why));
  }
  /// As send_for with an item that is dropped when nobody took it.
  template <class Rep, class Period>
  bool send_for(T&& item, std::chrono::duration<Rep, Period> timeout) {
    return send_for(item, timeout);
  }
  /// Sends an item if a receiver waits or there is room; never parks. False when not, and `item` is
  /// then unchanged. Throws channel_closed when the channel is closed.
  bool try_send(T& item) { return has_passed(core_.try_put(item)); }
  /// As try_send with an item that is dropped when nobody took it.
  bool try_send(T&& item) { return try_send(item); }

  /// Receives the oldest item; parks while there is none. Nothing once the channel is closed and
  /// empty. Throws fiber_exit when the fiber is killed meanwhile.
  std::optional<T> recv() {
    std::optional<T> item;
    core_.get_until(item, detail::never, why);
    return item;
  }
  /// As recv, but for no longer than `timeout`; without an item, is_closed() of the answer says
  /// whether one may still come.
  template <class Rep, class Period>
  received<T> recv_for(std::chrono::duration<Rep, Period> timeout) {
    std::optional<T> item;
    const auto how = core_.get_until(item, detail::deadline_after(timeout), why);
    return {std::move(item), how == detail::pass_status::closed};
  }
  /// Receives the oldest item if there is one; never parks. Without an item, is_closed() of the
  /// answer says whether one may still come.
  received<T> try_recv() {
    std::optional<T> item;
    const auto how = core_.try_get(item);
    return {std::move(item), how == detail::pass_status::closed};
  }

  /// Closes the channel: senders that wait fail, receivers that wait get nothing, and items that
  /// lie here can still be received. Throws channel_closed when it is closed already. Never parks.
  void close() {
    std::lock_guard guard(core_.lock);
    if (core_.is_closed) throw channel_closed("coir::channel: closed twice");
    core_.close();
  }
  /// True once the channel was closed, even while items are left; never parks.
  bool is_closed() const {
    std::lock_guard guard(core_.lock);
    return core_.is_closed;
  }

  /// Used by wait_any and its kin: ready while a get or recv would not wait.
  detail::wait_source as_wait_source() noexcept { return core_.as_wait_source(); }

  /// How many items lie in the channel now; never parks.
  std::size_t size() const {
    std::lock_guard guard(core_.lock);
    return core_.items.size();
  }
  /// The bound given at construction; never parks.
  std::size_t capacity() const noexcept { return core_.capacity; }

  /// Receives the first item for range-for, which ends once the channel is closed and empty. Parks,
  /// and throws fiber_exit when the fiber is killed; so does ++.
  detail::item_iterator<channel> begin() { return {*this, &no_stop}; }
  /// Where range-for ends; never parks.
  std::default_sentinel_t end() const noexcept { return {}; }

 private:
  friend struct detail::select_access;
  template <class, class>
  friend class detail::item_iterator;

  static constexpr detail::wait_reason why = detail::wait_reason::channel;
  static constexpr detail::no_stop_item no_stop{};

  static bool has_passed(detail::pass_status how) {
    if (how == detail::pass_status::closed) throw channel_closed(sent_on_closed);
    return how == detail::pass_status::passed;
  }
  static constexpr const char* sent_on_closed = "coir::channel: sent on a closed channel";
  /// For iterators: leaves `item` empty at the end.
  void next_item(std::optional<T>& item) { core_.get_until(item, detail::never, why); }

  detail::queue_core<T, detail::fifo_store<T>> core_;
};

}  // namespace coir
