/// Fibers: spawn, fiber<T>, joinall, spawn_after, and what a fiber may ask of itself.
///
/// The library is implicit: the first call on a thread makes that thread a worker, and its own
/// stack the worker's main fiber. Fibers of one worker take turns; one gives up its worker only in
/// calls whose description says "parks".
#pragma once

#include <coir/any_fiber.hpp>
#include <coir/detail/iterable.hpp>
#include <coir/detail/task.hpp>

#include <concepts>
#include <cstdint>
#include <string>

namespace coir {

/// Handle of a spawned function that returns T: gevent's Greenlet. What does not depend on T is in
/// any_fiber.
template <class T = void>
class fiber : public any_fiber {
 public:
  /// An empty handle: valid() is false.
  fiber() noexcept = default;
  /// Wraps a task that was started; used by spawn.
  explicit fiber(detail::task_ref<detail::task_of<T>> state) noexcept
      : any_fiber(std::move(state)) {}

  /// Parks until the fiber has ended; returns its value, or rethrows what it threw, as often as
  /// asked. The reference lives as long as a handle does. A killed fiber has no value: throws
  /// fiber_exit, unless T is void.
  decltype(auto) get() & { return take_result(); }
  /// As get() on a handle that is about to go: returns the value itself, moved when no other handle
  /// shares it.
  T get() && {
    if constexpr (std::is_void_v<T>) {
      take_result();
    } else if constexpr (std::is_copy_constructible_v<T>) {
      T& value = take_result();
      return state_->is_unique() ? T(std::move(value)) : T(value);
    } else {
      return std::move(take_result());
    }
  }
  /// As get, but throws coir::timeout when the fiber has not ended within `timeout`.
  template <class Rep, class Period>
  decltype(auto) get_for(std::chrono::duration<Rep, Period> timeout) & {
    if (!join_for(timeout)) throw coir::timeout();
    return take_result();
  }

  /// As get_for on a handle that is about to go: returns the value itself, as get() does.
  template <class Rep, class Period>
  T get_for(std::chrono::duration<Rep, Period> timeout) && {
    if (!join_for(timeout)) throw coir::timeout();
    return std::move(*this).get();
  }

  /// As on_done, but only when the function has returned, and with its value (without argument for
  /// void): gevent's link_value. A killed fiber has none.
  template <class Function>
  std::uint64_t on_value(Function f) const {
    return state_->add_callback([f = std::move(f), t = &own()]() mutable {
      if constexpr (std::is_void_v<T>) {
        if (t->successful()) f();
      } else {
        if (t->successful() && t->value) f(*t->value);
      }
    });
  }

 private:
  detail::task_of<T>& own() const noexcept { return static_cast<detail::task_of<T>&>(*state_); }

  decltype(auto) take_result() {
    state_->wait_until(detail::never);
    state_->rethrow();
    if constexpr (!std::is_void_v<T>) {
      if (!own().value) throw fiber_exit();
      return static_cast<T&>(*own().value);
    }
  }
};

namespace detail {

template <class Function, class... Args>
auto make_bound_task(Function&& f, Args&&... args) {
  using result = std::invoke_result_t<std::decay_t<Function>, std::decay_t<Args>...>;
  using bound = bound_task<result, std::decay_t<Function>, std::decay_t<Args>...>;
  return task_ref<task_of<result>>(
      new bound(std::forward<Function>(f), std::forward<Args>(args)...));
}

/// An address inside the code that calls spawn.
[[gnu::always_inline]] inline const void* here() noexcept {
  return __builtin_extract_return_addr(__builtin_return_address(0));
}

/// Starts the task with what start_task takes besides it.
template <class R, class... How>
fiber<R> started(task_ref<task_of<R>> state, const How&... how) {
  state->retain();
  start_task(state.get(), how...);
  return fiber<R>(std::move(state));
}

}  // namespace detail

/// Runs `f(args...)`, decayed and moved into it as std::thread does, in a new fiber of the calling
/// thread's worker. The fiber begins once the caller parks, after those spawned before it. An
/// exception that leaves `f` is reported once on stderr, kept for get(), and ends only that fiber.
/// Making and starting are one: unlike gevent's greenlets, fibers wait for no start(), and none is
/// started twice. Throws std::system_error when there is no memory for a stack. Never parks; any
/// thread (which becomes a worker).
template <class Function, class... Args>
  requires std::invocable<std::decay_t<Function>, std::decay_t<Args>...>
[[gnu::noinline]] auto spawn(Function&& f, Args&&... args) {
  return detail::started(
      detail::make_bound_task(std::forward<Function>(f), std::forward<Args>(args)...),
      detail::here());
}

/// spawn with a name and a stack size.
template <class Function, class... Args>
  requires std::invocable<std::decay_t<Function>, std::decay_t<Args>...>
[[gnu::noinline]] auto spawn(const attributes& how, Function&& f, Args&&... args) {
  return detail::started(
      detail::make_bound_task(std::forward<Function>(f), std::forward<Args>(args)...), how,
      detail::here());
}

/// spawn, but the fiber begins only after `delay`: gevent's spawn_later. Killing it before then
/// means it never runs.
template <class Rep, class Period, class Function, class... Args>
  requires std::invocable<std::decay_t<Function>, std::decay_t<Args>...>
[[gnu::noinline]] auto spawn_after(std::chrono::duration<Rep, Period> delay, Function&& f,
                                   Args&&... args) {
  auto state = detail::make_bound_task(std::forward<Function>(f), std::forward<Args>(args)...);
  state->retain();
  detail::start_task_at(state.get(), attributes{}, detail::here(), detail::deadline_after(delay));
  return fiber(std::move(state));
}

/// Deduces fiber<T> from a task.
template <class T>
fiber(detail::task_ref<detail::task_of<T>>) -> fiber<T>;

namespace detail {

template <class Range>
std::size_t join_each(Range&& fibers, deadline until) {
  std::size_t ended = 0;
  for (auto&& f : fibers) ended += handle_access::state(f)->wait_until(until);
  return ended;
}

}  // namespace detail

/// Parks until every fiber of the range has ended; returns how many have, which is all of them.
/// Failures are silent here: ask each with get(). Throws fiber_exit when the caller is killed. The
/// range must not change meanwhile.
template <detail::iterable Range>
std::size_t joinall(Range&& fibers) {
  return detail::join_each(fibers, detail::never);
}

/// As joinall, but for no longer than `timeout` in all; returns how many have ended. The others run
/// on.
template <detail::iterable Range, class Rep, class Period>
std::size_t joinall(Range&& fibers, std::chrono::duration<Rep, Period> timeout) {
  return detail::join_each(fibers, detail::deadline_after(timeout));
}

namespace detail {

/// Asks every fiber of the range to end; the calling one, if it is among them, last, since that
/// throws here.
template <class Range>
void kill_each(Range&& fibers, const std::exception_ptr& error) {
  const task* const caller = current_task();
  bool is_among = false;
  for (auto&& f : fibers) {
    task& t = *handle_access::state(f);
    if (&t == caller) {
      is_among = true;
    } else {
      t.request_kill(error);
    }
  }
  if (is_among) current_task()->request_kill(error);
}

template <class Range>
void kill_and_join_each(Range&& fibers, const std::exception_ptr& error, deadline until) {
  kill_each(fibers, error);
  bool have_all_ended = true;
  for (auto&& f : fibers) have_all_ended &= handle_access::state(f)->wait_until(until);
  if (!have_all_ended) throw coir::timeout();
}

}  // namespace detail

/// Kills every fiber of the range with `error`, or with fiber_exit when that is null, before it
/// waits for any: those that have not begun never run. With `wait`, parks until all have ended. The
/// calling fiber, if it is among them, gets its kill here, once all others have been asked. Throws
/// fiber_exit when the caller is killed while it waits, std::bad_alloc when a fiber of another
/// thread cannot be asked. The range is walked twice, and must not change meanwhile.
template <detail::iterable Range>
void killall(Range&& fibers, std::exception_ptr error, bool wait = true) {
  if (wait) return detail::kill_and_join_each(fibers, error, detail::never);
  detail::kill_each(fibers, error);
}

/// As killall with an error, but waits for no longer than `timeout` in all; throws coir::timeout
/// when some have not ended by then. Those go on with what they do about it.
template <detail::iterable Range, class Rep, class Period>
void killall(Range&& fibers, std::exception_ptr error, std::chrono::duration<Rep, Period> timeout) {
  detail::kill_and_join_each(fibers, error, detail::deadline_after(timeout));
}

/// As killall with an error, with fiber_exit.
template <detail::iterable Range>
void killall(Range&& fibers, bool wait = true) {
  killall(fibers, nullptr, wait);
}

/// As killall with an error and a time-out, with fiber_exit.
template <detail::iterable Range, class Rep, class Period>
void killall(Range&& fibers, std::chrono::duration<Rep, Period> timeout) {
  killall(fibers, nullptr, timeout);
}

/// What the running fiber may ask of itself. On a thread that is no worker yet, each makes it one.
namespace this_fiber {

/// Parks behind all fibers that are ready now; returns at once when there are none, after a look at
/// timers and I/O. Throws fiber_exit when the fiber is killed meanwhile.
COIR_API void yield();
/// The number of the running fiber, unique in the process; never parks.
COIR_API std::uint64_t id();
/// The name of the running fiber: as spawned, or "main"; never parks.
COIR_API std::string name();
/// The running fiber's stop token, which fiber<T>::request_stop sets; one that is never set on a
/// main fiber. Throws std::bad_alloc; never parks.
COIR_API std::stop_token stop_token();
/// True once somebody has asked the running fiber to stop. Throws std::bad_alloc; never parks.
COIR_API bool stop_requested();

}  // namespace this_fiber

namespace detail {
/// Parks until the deadline; throws fiber_exit when killed.
COIR_API void sleep_until(deadline until);
}  // namespace detail

namespace this_fiber {

/// Parks for at least `length`; zero or less is a yield(). Throws fiber_exit when the fiber is
/// killed meanwhile.
template <class Rep, class Period>
void sleep_for(std::chrono::duration<Rep, Period> length) {
  if (length <= length.zero()) return yield();
  detail::sleep_until(detail::deadline_after(length));
}

/// Parks until `when` at the earliest. Throws fiber_exit when the fiber is killed meanwhile.
template <class Duration>
void sleep_until(std::chrono::time_point<std::chrono::steady_clock, Duration> when) {
  detail::sleep_until(detail::deadline_at(when));
}

}  // namespace this_fiber

/// gevent's name for this_fiber::sleep_for.
template <class Rep, class Period>
void sleep(std::chrono::duration<Rep, Period> length) {
  this_fiber::sleep_for(length);
}

/// gevent's sleep(0): this_fiber::yield.
inline void yield() { this_fiber::yield(); }

}  // namespace coir
