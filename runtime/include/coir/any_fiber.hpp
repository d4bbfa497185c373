/// A handle of a fiber whatever it returns.
#pragma once

#include <coir/detail/task.hpp>

#include <concepts>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace coir {
namespace detail {

/// The task behind a handle, for what stands beside it.
struct handle_access {
  template <class Handle>
  static const task_ref<task>& state(const Handle& f) noexcept {
    return f.state_;
  }
  /// For code that serves handles and tasks alike.
  static const task_ref<task>& state(const task_ref<task>& t) noexcept { return t; }
};

/// What can be called again and again.
template <class Function, class... Args>
concept callback = std::invocable<Function&, Args...>;

}  // namespace detail

/// Handle of a spawned function, whatever that returns; fiber<T> adds the value. It is what a
/// group's members are seen as, and lets fibers of several types stand in one range for joinall and
/// killall. Copies share one state. Dropping the last handle does not end the fiber; it runs on
/// detached. Unless a member says otherwise: the handle must not be empty, and any thread may call.
class any_fiber {
 public:
  /// An empty handle: valid() is false.
  any_fiber() noexcept = default;
  /// Wraps a task that was started; used by spawn.
  explicit any_fiber(detail::task_ref<detail::task> state) noexcept : state_(std::move(state)) {}

  /// False for an empty handle. Never parks.
  bool valid() const noexcept { return static_cast<bool>(state_); }
  /// True for handles of one fiber, and for two empty ones. Never parks.
  friend bool operator==(const any_fiber& a, const any_fiber& b) noexcept {
    return a.state_.get() == b.state_.get();
  }

  /// Parks until the fiber has ended, in whatever way. Throws fiber_exit when the caller is killed,
  /// std::logic_error when a fiber joins itself.
  void join() const { state_->wait_until(detail::never); }
  /// As join, but for no longer than `timeout`; true when the fiber has ended.
  template <class Rep, class Period>
  bool join_for(std::chrono::duration<Rep, Period> timeout) const {
    return state_->wait_until(detail::deadline_after(timeout));
  }
  /// As join, but until `when` at the latest; true when the fiber has ended.
  template <class Duration>
  bool join_until(std::chrono::time_point<std::chrono::steady_clock, Duration> when) const {
    return state_->wait_until(detail::deadline_at(when));
  }

  /// Parks until the fiber has ended; rethrows what it threw, as often as asked. A value, or none,
  /// is no error: fiber<T>::get returns it.
  void get() const {
    join();
    state_->rethrow();
  }

  /// Ends the fiber: fiber_exit is thrown in it at the call where it waits; one that has not begun
  /// never runs. With `wait`, parks until it has ended. Killing an ended fiber, or one already
  /// killed, does nothing more. A fiber that kills itself gets fiber_exit at once. Throws
  /// fiber_exit when the caller is killed while it waits.
  void kill(bool wait = true) const { kill(nullptr, wait); }
  /// As kill, but throws `error` in the fiber instead of fiber_exit (which null means). It is the
  /// fiber's result then, unless its function catches it.
  void kill(std::exception_ptr error, bool wait = true) const {
    state_->request_kill(std::move(error));
    if (wait) state_->wait_until(detail::never);
  }
  /// As kill, but waits for no longer than `timeout`; true when the fiber has ended.
  template <class Rep, class Period>
  bool kill_for(std::chrono::duration<Rep, Period> timeout,
                std::exception_ptr error = nullptr) const {
    const detail::deadline until = detail::deadline_after(timeout);
    state_->request_kill(std::move(error));
    return state_->wait_until(until);
  }

  /// Calls `f()` once the fiber has ended in whatever way, soon if it has already: gevent's link.
  /// Callbacks are called in the order in which they were added, in a fiber of their own, after
  /// joiners were made ready. What one throws is reported as a fiber's error, and the others are
  /// called. Those of a fiber that was killed before a worker of its set had come to it are called
  /// when one does. `f` must not hold the last handle of a fiber that may never end. Returns a
  /// number for remove_callback. Never parks.
  template <detail::callback Function>
  std::uint64_t on_done(Function f) const {
    return state_->add_callback(std::move(f));
  }
  /// As on_done, but only when the function has thrown, and with that: gevent's link_exception.
  template <detail::callback<std::exception_ptr> Function>
  std::uint64_t on_error(Function f) const {
    return state_->add_callback([f = std::move(f), t = state_.get()]() mutable {
      if (t->error()) f(t->error());
    });
  }
  /// Takes back a callback that has not begun, also from inside another one; false when there is no
  /// such. gevent's unlink. Never parks.
  bool remove_callback(std::uint64_t number) const noexcept {
    return state_->remove_callback(number);
  }

  /// Asks the function to end of its own accord, as std::jthread does: sets its stop token, and
  /// runs the token's callbacks. True for the first who asks. Never parks.
  bool request_stop() const { return state_->request_stop(); }
  /// The token that request_stop() sets; inside the fiber it is this_fiber::stop_token(). Never
  /// parks.
  std::stop_token stop_token() const { return state_->stop_token(); }

  /// Used by wait_any and its kin: ready once the fiber has ended.
  detail::wait_source as_wait_source() const noexcept { return state_->as_wait_source(); }

  /// True once the fiber has ended. Never parks.
  bool ready() const noexcept { return state_->ready(); }
  /// True once the fiber has ended without an error; a killed fiber counts as successful, as in
  /// gevent. Never parks.
  bool successful() const noexcept { return state_->successful(); }
  /// What the fiber threw, or null; must be ready(). Never parks.
  std::exception_ptr exception() const noexcept { return state_->error(); }
  /// The name it was given, or "fiber". Never parks.
  const std::string& name() const noexcept { return state_->name(); }
  /// The number shown in reports, unique in the process. Never parks.
  std::uint64_t id() const noexcept { return state_->id(); }

 protected:
  friend struct detail::handle_access;

  /// Null for an empty handle.
  detail::task_ref<detail::task> state_;
};

/// The fibers of the calling thread that were spawned and have not ended, the calling one among
/// them, in the order of their spawn. killall(live_fibers()) ends a program's work, whoever has
/// started it. Makes the thread a worker if it is none, and then throws what that throws; throws
/// std::bad_alloc. Never parks.
COIR_API std::vector<any_fiber> live_fibers();

}  // namespace coir
