/// Go's select: waits for whichever comes first of sends, receives, puts, gets, events, ends of
/// fibers, descriptors and deadlines. Cases for ends of children and for signals are beside
/// coir::process and coir::signal_set.
///
///     coir::select(coir::on_recv(results, [&](std::optional<int> result) { ... }),
///                  coir::on_send(requests, next, [&] { ... }),
///                  coir::after(2s, [&] { ... }));
///
/// Exactly one case happens. Of several that are ready each is as likely as the others; a deadline
/// counts only while none is. Then the function of the case, which may be left out, runs in the
/// calling fiber: it may wait, and what it throws comes out of select.
///
/// A case refers to its channel, queue, event or variable, which must outlive it. A channel or
/// queue given as a null pointer is never ready, which switches a case off. An object may stand in
/// several cases; a select never meets itself, and two selects may meet each other. Fibers and
/// threads of all kinds may take part. Making a case never parks. A case that is kept in a variable
/// may be used again, by one select at a time and once in it.
#pragma once

#include <coir/channel.hpp>
#include <coir/detail/case_list.hpp>
#include <coir/detail/owned.hpp>
#include <coir/detail/passing_case.hpp>
#include <coir/event.hpp>
#include <coir/fiber.hpp>
#include <coir/queue.hpp>

#include <concepts>
#include <cstddef>
#include <mutex>  // std::chrono, as in detail/clock.hpp
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

#include <poll.h>

namespace coir {

/// Receives from `*from`; `f` gets the item, or nothing when the channel is closed and empty.
template <class T, std::invocable<std::optional<T>> Function = detail::do_nothing>
auto on_recv(channel<T>* from, Function f = {}) {
  return detail::taking_case(detail::select_access::core(from), std::move(f));
}
/// Receives from `from`; `f` gets the item, or nothing when the channel is closed and empty.
template <class T, std::invocable<std::optional<T>> Function = detail::do_nothing>
auto on_recv(channel<T>& from, Function f = {}) {
  return on_recv(&from, std::move(f));
}

/// Sends `item` over `*to`, then calls `f`. A variable of type T is moved from when the case
/// happens, else unchanged, as in try_send; any other item is kept in the case and goes with it.
/// Select throws channel_closed when this case happens and the channel is closed.
template <class T, detail::item_of<T> Item, std::invocable Function = detail::do_nothing>
auto on_send(channel<T>* to, Item&& item, Function f = {}) {
  return detail::make_giving_case<channel<T>>(detail::select_access::core(to),
                                              std::forward<Item>(item), std::move(f));
}
/// Sends `item` over `to`, then calls `f`; the same in every other respect.
template <class T, detail::item_of<T> Item, std::invocable Function = detail::do_nothing>
auto on_send(channel<T>& to, Item&& item, Function f = {}) {
  return on_send(&to, std::forward<Item>(item), std::move(f));
}

/// Gets from a queue of any kind; `f` gets the item. Select throws shut_down when this case happens
/// and the queue was shut down and is empty.
template <class T, class Store, std::invocable<T> Function = detail::do_nothing>
auto on_get(detail::basic_queue<T, Store>* from, Function f = {}) {
  return detail::taking_case(detail::select_access::core(from),
                             [f = std::move(f)](std::optional<T> item) mutable {
                               if (!item) throw shut_down();
                               f(std::move(*item));
                             });
}
/// Gets from a queue of any kind; the same in every other respect.
template <class T, class Store, std::invocable<T> Function = detail::do_nothing>
auto on_get(detail::basic_queue<T, Store>& from, Function f = {}) {
  return on_get(&from, std::move(f));
}

/// Puts `item` into a queue of any kind, then calls `f`. The item is treated as by on_send. Select
/// throws shut_down when this case happens and the queue was shut down.
template <class T, class Store, detail::item_of<T> Item,
          std::invocable Function = detail::do_nothing>
auto on_put(detail::basic_queue<T, Store>* to, Item&& item, Function f = {}) {
  return detail::make_giving_case<detail::basic_queue<T, Store>>(
      detail::select_access::core(to), std::forward<Item>(item), std::move(f));
}
/// Puts `item` into a queue of any kind; the same in every other respect.
template <class T, class Store, detail::item_of<T> Item,
          std::invocable Function = detail::do_nothing>
auto on_put(detail::basic_queue<T, Store>& to, Item&& item, Function f = {}) {
  return on_put(&to, std::forward<Item>(item), std::move(f));
}

/// Waits until `what` is set; then calls `f`.
template <std::invocable Function = detail::do_nothing>
auto on_set(event& what, Function f = {}) {
  return detail::state_case(
      detail::select_access::lock(what), detail::select_access::waiters(what),
      [&what] { return what.is_set(); }, std::move(f));
}

/// Waits until the fiber has ended in whatever way; then calls `f`. Keeps the handle, which must
/// not be empty.
template <std::invocable Function = detail::do_nothing>
auto on_join(any_fiber whose, Function f = {}) {
  detail::task& task = *detail::handle_access::state(whose);
  return detail::state_case(
      detail::select_access::lock(task), detail::select_access::joiners(task),
      [whose = std::move(whose)] { return whose.ready(); }, std::move(f));
}

/// Waits until `fd` can be read without waiting, which includes an end and an error of it; then
/// calls `f`. Reads nothing: of several who wait for one descriptor each is told. What an object
/// has read ahead of the descriptor, as files and TLS streams do, is not seen. Below 0: the case is
/// switched off. Select throws std::system_error when this case happens because the descriptor is
/// closed, or was closed through coir meanwhile (std::errc::bad_file_descriptor), and when there is
/// no memory to wait for it.
template <std::invocable Function = detail::do_nothing>
auto on_readable(int fd, Function f = {}) {
  return detail::readiness_case<Function>(fd, POLLIN, std::move(f));
}
/// Waits until `fd` can be written without waiting; the same in every other respect.
template <std::invocable Function = detail::do_nothing>
auto on_writable(int fd, Function f = {}) {
  return detail::readiness_case<Function>(fd, POLLOUT, std::move(f));
}

/// Calls `f` when no other case has become ready within `timeout`, counted from this call. Of
/// several such cases the earliest counts.
template <class Rep, class Period, std::invocable Function = detail::do_nothing>
auto after(std::chrono::duration<Rep, Period> timeout, Function f = {}) {
  return detail::passive_case<Function>(detail::deadline_after(timeout), std::move(f));
}
/// As after, but from `when` on: for a limit on a loop of selects.
template <class Duration, std::invocable Function = detail::do_nothing>
auto after(std::chrono::time_point<std::chrono::steady_clock, Duration> when, Function f = {}) {
  return detail::passive_case<Function>(detail::deadline_at(when), std::move(f));
}

/// Calls `f` when no case is ready: Go's default. Select never parks then, so that a loop around it
/// has to yield. At most one of the cases.
template <std::invocable Function = detail::do_nothing>
auto otherwise(Function f = {}) {
  return detail::passive_case<Function>(detail::otherwise_tag{}, std::move(f));
}

/// A case of any kind, for a select over as many cases as the program finds at run time: Go's
/// reflect.SelectCase. Made from what the functions above return; moves only. One that was moved
/// from is never ready.
class select_case {
 public:
  /// Keeps `c`. Throws std::bad_alloc.
  template <std::derived_from<detail::case_base> Case>
  select_case(Case c) : case_(new Case(std::move(c))) {}

 private:
  friend std::size_t select(std::span<select_case> cases);
  detail::owned<detail::case_base> case_;
};

/// Waits until one of the cases is ready, makes it happen, runs its function and returns its
/// place, counted from 0. Parks unless a case is ready or there is an `otherwise`; for ever when
/// none can become ready. Throws fiber_exit when the fiber is killed meanwhile (no case has
/// happened then), std::invalid_argument for more than one `otherwise`, std::bad_alloc, and what
/// the case throws.
template <class... Cases>
  requires(std::derived_from<std::remove_cvref_t<Cases>, detail::case_base>&&...)
std::size_t select(Cases&&... cases) {
  detail::case_list all;
  (all.add(cases), ...);
  detail::case_base& chosen = all.choose();
  chosen.run();
  return chosen.index();
}

/// The same over a list that the program has made: Go's reflect.Select. The list can be used again;
/// a case that sends an item of its own sends what is left of it then, one that refers to a
/// variable sends what that holds.
inline std::size_t select(std::span<select_case> cases) {
  detail::case_list all;
  for (select_case& each : cases) each.case_ ? all.add(*each.case_) : all.skip();
  detail::case_base& chosen = all.choose();
  chosen.run();
  return chosen.index();
}

}  // namespace coir
