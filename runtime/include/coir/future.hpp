/// A result that one fiber gives and others wait for: promise, future, shared_future,
/// packaged_task.
///
/// They are those of the standard library, made for fibers: waits park, and whoever gives the
/// result may be any fiber or thread, also one that never used coir. gevent's AsyncResult is a
/// promise with its shared_future; it has no links, which fibers have (fiber<T>::on_done). Misuse
/// throws std::future_error with the codes of std::future_errc, for which the handler includes
/// <future>: this header does not, because that takes long to compile. For the same reason wait_for
/// returns a coir::future_status. There is no set_value_at_thread_exit: fibers are not threads.
#pragma once

#include <coir/detail/future_state.hpp>

#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

namespace coir {

template <class T>
class shared_future;

/// How a timed wait for a future ended. Compares with std::future_status.
enum class future_status {
  ready,    ///< the result is there
  timeout,  ///< it was not there in time
};

namespace detail {

template <class Status>
concept standard_future_status = requires {
  Status::ready;
  Status::timeout;
  Status::deferred;
};

}  // namespace detail

/// Compares with std::future_status, which <future> declares, by the names of the enumerators.
template <detail::standard_future_status Theirs>
constexpr bool operator==(future_status ours, Theirs theirs) noexcept {
  return theirs == (ours == future_status::ready ? Theirs::ready : Theirs::timeout);
}

namespace detail {

/// What future and shared_future have in common. Every member but valid() throws std::future_error
/// (no_state) when the future is empty; any thread may call.
template <class T>
class future_base {
 public:
  /// False for an empty future. Never parks.
  bool valid() const noexcept { return static_cast<bool>(state_); }

  /// Parks until the result is there. Throws fiber_exit when the fiber is killed meanwhile.
  void wait() const { state().wait(never); }
  /// As wait, but for no longer than `timeout`.
  template <class Rep, class Period>
  future_status wait_for(std::chrono::duration<Rep, Period> timeout) const {
    return wait_by(deadline_after(timeout));
  }
  /// As wait, but until `when` at the latest.
  template <class Duration>
  future_status wait_until(
      std::chrono::time_point<std::chrono::steady_clock, Duration> when) const {
    return wait_by(deadline_at(when));
  }

  /// True once the result is there, value or exception. Never parks.
  bool ready() const { return state().ready(); }
  /// True once the result is there and is a value. Never parks.
  bool successful() const { return ready() && !state_->error(); }
  /// The exception that is the result; null when it is a value or not there yet. Never parks.
  std::exception_ptr exception() const { return ready() ? state_->error() : nullptr; }

  /// Used by wait_any and its kin: ready once the result is there.
  wait_source as_wait_source() const { return state().as_wait_source(); }

 protected:
  future_base() noexcept = default;
  explicit future_base(counted_ptr<value_state<T>> state) noexcept : state_(std::move(state)) {}

  value_state<T>& state() const {
    if (!state_) throw_future_error(future_fault::no_state);
    return *state_;
  }
  future_status wait_by(deadline until) const {
    return state().wait(until) ? future_status::ready : future_status::timeout;
  }
  void wait_or_throw(deadline until) const {
    if (!state().wait(until)) throw timeout();
  }

  counted_ptr<value_state<T>> state_;
};

/// What try_get of a future returns, and of a shared_future.
template <class T>
struct maybe {
  using own = std::optional<T>;
  using shared = const T*;
};
template <class T>
struct maybe<T&> {
  using own = T*;
  using shared = T*;
};
template <>
struct maybe<void> {
  using own = bool;
  using shared = bool;
};

}  // namespace detail

/// std::future for fibers: the one place where the result of a promise or packaged_task can be
/// taken out. Moves, does not copy; for several who wait there is share(). See future_base for the
/// waits. The future itself is not for several threads at a time.
template <class T>
class future : public detail::future_base<T> {
 public:
  /// An empty future: valid() is false.
  future() noexcept = default;
  /// Wraps a state; used by promise and packaged_task.
  explicit future(detail::counted_ptr<detail::value_state<T>> state) noexcept
      : detail::future_base<T>(std::move(state)) {}
  future(future&&) noexcept = default;
  future& operator=(future&&) noexcept = default;

  /// Parks until the result is there; returns the value, moved out, or rethrows the exception. The
  /// future is empty after that. Throws fiber_exit when the fiber is killed meanwhile; the future
  /// is as before then.
  T get() {
    this->wait();
    return take();
  }
  /// As get, but throws coir::timeout when the result is not there within `timeout`, at once when
  /// that is 0; the future is as before then. gevent's get(timeout), get_nowait.
  template <class Rep, class Period>
  T get_for(std::chrono::duration<Rep, Period> timeout) {
    this->wait_or_throw(detail::deadline_after(timeout));
    return take();
  }
  /// As get if the result is there, else nothing, and the future is as before. Returns a
  /// std::optional<T>; for a T& a pointer, for void a bool. Never parks.
  typename detail::maybe<T>::own try_get() {
    if (!this->ready()) return {};
    if constexpr (std::is_void_v<T>) {
      take();
      return true;
    } else if constexpr (std::is_reference_v<T>) {
      return std::addressof(take());
    } else {
      return std::optional<T>(take());
    }
  }
  /// Passes the result on to a future that can be copied; this one is empty then. Never parks.
  shared_future<T> share() noexcept { return shared_future<T>(std::move(*this)); }

 private:
  friend class shared_future<T>;

  T take() {
    const auto last = std::move(this->state_);
    if (last->error()) std::rethrow_exception(last->error());
    if constexpr (std::is_object_v<T>) {
      return std::move(last->value());
    } else {
      return last->value();
    }
  }
};

/// std::shared_future for fibers: copies share one result, which stays where it is. See future_base
/// for the waits. Several threads need a copy each.
template <class T>
class shared_future : public detail::future_base<T> {
  using result = std::add_lvalue_reference_t<std::conditional_t<std::is_object_v<T>, const T, T>>;

 public:
  /// An empty future: valid() is false.
  shared_future() noexcept = default;
  /// Takes over the result that `from` waits for; that one is empty then.
  shared_future(future<T>&& from) noexcept : detail::future_base<T>(std::move(from.state_)) {}

  /// Parks until the result is there; returns the value, or rethrows the exception, as often as
  /// asked. The reference lives as long as a copy does. Throws fiber_exit when the fiber is killed
  /// meanwhile.
  result get() const {
    this->wait();
    return look();
  }
  /// As get, but throws coir::timeout when the result is not there within `timeout`, at once when
  /// that is 0.
  template <class Rep, class Period>
  result get_for(std::chrono::duration<Rep, Period> timeout) const {
    this->wait_or_throw(detail::deadline_after(timeout));
    return look();
  }
  /// As get if the result is there, else nothing. Returns a pointer to the value; for void a bool.
  /// Never parks.
  typename detail::maybe<T>::shared try_get() const {
    if (!this->ready()) return {};
    if constexpr (std::is_void_v<T>) {
      look();
      return true;
    } else {
      return std::addressof(look());
    }
  }

 private:
  result look() const {
    if (this->state_->error()) std::rethrow_exception(this->state_->error());
    return this->state_->value();
  }
};

namespace detail {

/// What promises of all types have in common. Every member throws std::future_error (no_state) when
/// the promise was moved from; any thread may call.
template <class T>
class promise_base {
 public:
  /// Makes the state that is shared with the future. Throws std::bad_alloc.
  promise_base() : state_(new value_state<T>) {}
  /// As above, in memory of the allocator's.
  template <class Allocator>
  promise_base(std::allocator_arg_t, const Allocator& allocator)
      : state_(allocated_state<value_state<T>, Allocator>::make(allocator)) {}
  promise_base(promise_base&&) noexcept = default;
  promise_base& operator=(promise_base&& other) noexcept {
    promise_base taken(std::move(other));
    std::swap(state_, taken.state_);
    return *this;
  }
  /// Without a result there will be none: the future gets std::future_error (broken_promise).
  ~promise_base() {
    if (state_) state_->abandon();
  }

  /// The future, once: throws std::future_error (future_already_retrieved) after that. Never parks.
  future<T> get_future() {
    auto state = held();
    state->retrieve();
    return future<T>(std::move(state));
  }
  /// Makes `error` the result, to be rethrown by get, and wakes everybody who waits. Throws
  /// std::future_error (promise_already_satisfied) when there is one, and std::invalid_argument
  /// when `error` is null. Never parks.
  void set_exception(std::exception_ptr error) {
    const auto state = held();
    if (!error) throw_null_error();
    state->claim();
    state->publish_error(std::move(error));
  }
  /// Exchanges the states. Never parks.
  void swap(promise_base& other) noexcept { std::swap(state_, other.state_); }

 protected:
  /// A reference of the caller's own: whoever waits may destroy the promise as soon as it is kept.
  counted_ptr<value_state<T>> held() const {
    if (!state_) throw_future_error(future_fault::no_state);
    return state_;
  }
  template <class... From>
  void keep(From&&... from) {
    const auto state = held();
    satisfy(*state, [&] { state->emplace(std::forward<From>(from)...); });
  }

 private:
  counted_ptr<value_state<T>> state_;
};

}  // namespace detail

/// std::promise for fibers: gives the result that a future waits for. Moves, does not copy.
template <class T>
class promise : public detail::promise_base<T> {
 public:
  using detail::promise_base<T>::promise_base;

  /// Makes a copy of `value` the result and wakes everybody who waits. Throws std::future_error
  /// (promise_already_satisfied) when there is one, and what the copy throws; the promise can still
  /// be kept then. Never parks, unless the copy does.
  void set_value(const T& value) { this->keep(value); }
  /// As above, but moves.
  void set_value(T&& value) { this->keep(std::move(value)); }

  friend void swap(promise& one, promise& other) noexcept { one.swap(other); }
};

/// A promise whose result is a reference.
template <class T>
class promise<T&> : public detail::promise_base<T&> {
 public:
  using detail::promise_base<T&>::promise_base;

  /// Makes `object` the result and wakes everybody who waits. Throws std::future_error
  /// (promise_already_satisfied) when there is one. Never parks.
  void set_value(T& object) { this->keep(object); }

  friend void swap(promise& one, promise& other) noexcept { one.swap(other); }
};

/// A promise of nothing but that it happens.
template <>
class promise<void> : public detail::promise_base<void> {
 public:
  using detail::promise_base<void>::promise_base;

  /// Says that it has happened and wakes everybody who waits. Throws std::future_error
  /// (promise_already_satisfied) when that was said before. Never parks.
  void set_value() { keep(); }

  friend void swap(promise& one, promise& other) noexcept { one.swap(other); }
};

template <class Signature>
class packaged_task;

/// std::packaged_task for fibers: a function whose result goes to a future. Moves, does not copy.
/// Any thread may call, one at a time.
template <class R, class... Args>
class packaged_task<R(Args...)> {
 public:
  /// An empty one: valid() is false.
  packaged_task() noexcept = default;
  /// Keeps `f`, decayed. Throws std::bad_alloc, and what the copy of `f` throws.
  template <class Function>
    requires(!std::is_same_v<std::remove_cvref_t<Function>, packaged_task> &&
             std::is_invocable_r_v<R, std::decay_t<Function>&, Args...>)
  explicit packaged_task(Function&& f)
      : state_(new detail::function_state<std::decay_t<Function>, R, Args...>(
            std::in_place, std::forward<Function>(f))) {}
  packaged_task(packaged_task&&) noexcept = default;
  packaged_task& operator=(packaged_task&& other) noexcept {
    packaged_task taken(std::move(other));
    swap(taken);
    return *this;
  }
  /// If the function was not called, the future gets std::future_error (broken_promise).
  ~packaged_task() {
    if (state_) state_->abandon();
  }

  /// False for an empty one, and after a move. Never parks.
  bool valid() const noexcept { return static_cast<bool>(state_); }
  /// Exchanges function and result. Never parks.
  void swap(packaged_task& other) noexcept { std::swap(state_, other.state_); }
  friend void swap(packaged_task& one, packaged_task& other) noexcept { one.swap(other); }

  /// The future, once: throws std::future_error (future_already_retrieved) after that, and no_state
  /// when empty. Never parks.
  future<R> get_future() {
    auto state = held();
    state->retrieve();
    return future<R>(std::move(state));
  }
  /// Calls the function, and gives what it returns or throws to the future. A kill of the calling
  /// fiber inside is no result: the future gets broken_promise, and fiber_exit goes on. Throws
  /// std::future_error: promise_already_satisfied when it was called before, no_state when empty.
  void operator()(Args... args) { held()->run(std::forward<Args>(args)...); }
  /// Makes it as new, with the same function and a future to be got again. Throws std::future_error
  /// (no_state) when empty, std::bad_alloc, and what a move of the function throws. Never parks.
  void reset() { *this = packaged_task(held()->renewed()); }

 private:
  using task_ptr = detail::counted_ptr<detail::task_state<R, Args...>>;

  explicit packaged_task(task_ptr made) noexcept : state_(std::move(made)) {}

  task_ptr held() const {
    if (!state_) detail::throw_future_error(detail::future_fault::no_state);
    return state_;
  }

  task_ptr state_;
};

/// Deduces the signature from a function.
template <class R, class... Args>
packaged_task(R (*)(Args...)) -> packaged_task<R(Args...)>;
/// Deduces the signature from the one operator() of an object.
template <class Function>
packaged_task(Function)
    -> packaged_task<typename detail::call_signature<decltype(&Function::operator())>::type>;

}  // namespace coir

/// A promise can be made with an allocator.
template <class T, class Allocator>
struct std::uses_allocator<coir::promise<T>, Allocator> : std::true_type {};
