/// What a promise and its futures share.
#pragma once

#include <coir/detail/observer.hpp>
#include <coir/detail/reference_count.hpp>
#include <coir/exceptions.hpp>
#include <coir/export.hpp>

#include <atomic>
#include <cstdint>
#include <exception>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

namespace coir::detail {

/// What a std::future_error is about.
enum class future_fault : std::uint8_t {
  already_retrieved,
  already_satisfied,
  no_state,
  broken_promise,
};

/// Throws std::future_error with the code of that name. Compiled in the library because <future>,
/// which declares it, is among the costliest headers.
[[noreturn]] COIR_API void throw_future_error(future_fault what);

/// Throws std::invalid_argument: a promise was given a null exception.
[[noreturn]] COIR_API void throw_null_error();

/// A result that comes once: a value, which the derived types hold, or an exception. Any thread may
/// call any member.
class COIR_API future_state {
 public:
  future_state(const future_state&) = delete;
  future_state& operator=(const future_state&) = delete;

  /// One more owner. Never parks.
  void retain() noexcept { owners_.add(); }
  /// One owner less; the last one destroys the state. Never parks.
  void release() noexcept {
    if (owners_.drop()) destroy();
  }

  /// True once the result is there. Never parks.
  bool ready() const noexcept { return stage_.load(std::memory_order_acquire) == stage::ready; }
  /// The exception, null when the result is a value; once ready(). Never parks.
  const std::exception_ptr& error() const noexcept { return error_; }
  /// Parks until the result is there or the deadline has passed; true when it is there. Throws
  /// fiber_exit when the fiber is killed meanwhile.
  bool wait(deadline until);
  /// For wait_any and its kin: ready once the result is there.
  wait_source as_wait_source() noexcept {
    return {
        &lock_, &waiters_,
        [](const void* self) noexcept { return static_cast<const future_state*>(self)->ready(); },
        this};
  }
  /// Marks that there is a future; throws future_already_retrieved for the second. Never parks.
  void retrieve();

  // The one who gives the result claims the state, sets the value, and publishes.

  /// Throws promise_already_satisfied when there is a result or somebody is about to give it.
  void claim();
  /// Takes a claim back: the value could not be made.
  void unclaim() noexcept;
  /// Wakes everybody who waits. Never parks.
  void publish() noexcept;
  /// publish with an exception in place of a value.
  void publish_error(std::exception_ptr error) noexcept;
  /// publish_error with broken_promise.
  void publish_broken() noexcept;
  /// What the end of a promise does: claim and publish_broken, unless there is a result.
  void abandon() noexcept;

 protected:
  future_state() = default;
  virtual ~future_state();

 private:
  enum class stage : std::uint8_t { open, claimed, ready };

  bool try_claim() noexcept;
  virtual void destroy() noexcept { delete this; }

  reference_count owners_;
  short_lock lock_;
  std::atomic<stage> stage_{stage::open};  ///< written under lock_
  bool is_retrieved_ = false;              ///< guarded by lock_
  wait_queue waiters_;                     ///< guarded by lock_
  std::exception_ptr error_;               ///< written by who has the claim
};

/// The state with room for a T.
template <class T>
class value_state : public future_state {
 public:
  template <class... From>
  void emplace(From&&... from) {
    value_.emplace(std::forward<From>(from)...);
  }
  T& value() noexcept { return *value_; }

 private:
  std::optional<T> value_;
};

template <class T>
class value_state<T&> : public future_state {
 public:
  void emplace(T& object) noexcept { value_ = std::addressof(object); }
  T& value() noexcept { return *value_; }

 private:
  T* value_ = nullptr;
};

template <>
class value_state<void> : public future_state {
 public:
  void emplace() noexcept {}
  void value() noexcept {}
};

/// Sets what `make_value()` sets as the value of a state, and publishes.
template <class State, class MakeValue>
void satisfy(State& state, MakeValue make_value) {
  state.claim();
  try {
    make_value();
  } catch (...) {
    state.unclaim();
    throw;
  }
  state.publish();
}

/// The state of a packaged_task: with the function that gives the result.
template <class R, class... Args>
class task_state : public value_state<R> {
 public:
  /// Calls the function and publishes what comes of it. Throws promise_already_satisfied when that
  /// was done before, and fiber_exit when the fiber is killed in it.
  virtual void run(Args... args) = 0;
  /// A state without a result that takes the function over.
  virtual counted_ptr<task_state> renewed() = 0;
};

template <class Function, class R, class... Args>
class function_state final : public task_state<R, Args...> {
 public:
  template <class F>
  explicit function_state(std::in_place_t, F&& f) : function_(std::forward<F>(f)) {}

  void run(Args... args) override {
    this->claim();
    try {
      call(std::forward<Args>(args)...);
    } catch (const fiber_exit&) {
      this->publish_broken();  // a kill is no result, and ends the caller
      throw;
    } catch (...) {
      return this->publish_error(std::current_exception());
    }
    this->publish();
  }
  counted_ptr<task_state<R, Args...>> renewed() override {
    return counted_ptr<task_state<R, Args...>>(
        new function_state(std::in_place, std::move(function_)));
  }

 private:
  void call(Args... args) {
    // std::invoke, without the cost of <functional>
    auto invoke = [&]() -> decltype(auto) {
      return std::apply(function_, std::forward_as_tuple(std::forward<Args>(args)...));
    };
    if constexpr (std::is_void_v<R>) {
      invoke();
      this->emplace();
    } else {
      this->emplace(invoke());
    }
  }

  Function function_;
};

/// A State in memory of an allocator's.
template <class State, class Allocator>
class allocated_state final : public State {
 public:
  /// Throws what the allocator throws.
  static counted_ptr<State> make(const Allocator& allocator) {
    own_allocator own(allocator);
    void* const place = std::to_address(traits::allocate(own, 1));
    return counted_ptr<State>(new (place) allocated_state(own));
  }

 private:
  using own_allocator =
      typename std::allocator_traits<Allocator>::template rebind_alloc<allocated_state>;
  using traits = std::allocator_traits<own_allocator>;

  explicit allocated_state(const own_allocator& own) noexcept : own_(own) {}
  void destroy() noexcept override {
    own_allocator own(own_);
    const auto place = std::pointer_traits<typename traits::pointer>::pointer_to(*this);
    this->~allocated_state();
    traits::deallocate(own, place, 1);
  }

  own_allocator own_;
};

/// The signature in which an object can be called that has one operator().
template <class Member>
struct call_signature;
template <class C, class R, class... Args, bool is_noexcept>
struct call_signature<R (C::*)(Args...) noexcept(is_noexcept)> {
  using type = R(Args...);
};
template <class C, class R, class... Args, bool is_noexcept>
struct call_signature<R (C::*)(Args...) const noexcept(is_noexcept)> {
  using type = R(Args...);
};
template <class C, class R, class... Args, bool is_noexcept>
struct call_signature<R (C::*)(Args...)& noexcept(is_noexcept)> {
  using type = R(Args...);
};
template <class C, class R, class... Args, bool is_noexcept>
struct call_signature<R (C::*)(Args...) const& noexcept(is_noexcept)> {
  using type = R(Args...);
};

}  // namespace coir::detail
