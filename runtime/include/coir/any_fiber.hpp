/// A handle of a fiber whatever it returns.
#pragma once

#include <coir/fiber.hpp>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace coir {

/// Handle of a fiber that returns anything: what a group's members are seen as, and what lets
/// fibers of several types stand in one range for joinall and killall. Copies share the fiber's
/// state with its fiber<T>, which alone knows the value. Must not be empty; any thread may call.
class any_fiber {
 public:
  /// The same fiber; `f` must not be empty.
  template <class T>
  any_fiber(const fiber<T>& f) : state_(detail::handle_access::state(f)) {}
  /// Wraps a task that was started; used by groups.
  explicit any_fiber(detail::task_ref<detail::task> state) noexcept : state_(std::move(state)) {}

  /// As fiber<T>::join.
  void join() const { state_->wait_until(detail::never); }
  /// As fiber<T>::join_for.
  template <class Rep, class Period>
  bool join_for(std::chrono::duration<Rep, Period> timeout) const {
    return state_->wait_until(detail::deadline_after(timeout));
  }
  /// As fiber<T>::join_until.
  template <class Duration>
  bool join_until(std::chrono::time_point<std::chrono::steady_clock, Duration> when) const {
    return state_->wait_until(detail::deadline_at(when));
  }
  /// Parks until the fiber has ended; rethrows what it threw. A value, or none, is no error.
  void get() const {
    join();
    state_->rethrow();
  }

  /// As fiber<T>::kill.
  void kill(bool wait = true) const { kill(nullptr, wait); }
  /// As fiber<T>::kill.
  void kill(std::exception_ptr error, bool wait = true) const {
    state_->request_kill(std::move(error));
    if (wait) join();
  }
  /// As fiber<T>::kill_for.
  template <class Rep, class Period>
  bool kill_for(std::chrono::duration<Rep, Period> timeout,
                std::exception_ptr error = nullptr) const {
    const detail::deadline until = detail::deadline_after(timeout);
    state_->request_kill(std::move(error));
    return state_->wait_until(until);
  }

  /// As fiber<T>::on_done.
  template <class Function>
    requires std::invocable<Function&> std::uint64_t on_done(Function f)
  const { return state_->add_callback(std::move(f)); }
  /// As fiber<T>::remove_callback.
  bool remove_callback(std::uint64_t number) const noexcept {
    return state_->remove_callback(number);
  }
  /// As fiber<T>::request_stop.
  bool request_stop() const { return state_->request_stop(); }

  /// As fiber<T>::ready. Never parks, as all that follow.
  bool ready() const noexcept { return state_->ready(); }
  /// As fiber<T>::successful.
  bool successful() const noexcept { return state_->successful(); }
  /// As fiber<T>::exception.
  std::exception_ptr exception() const noexcept { return state_->error(); }
  /// As fiber<T>::name.
  const std::string& name() const noexcept { return state_->name(); }
  /// As fiber<T>::id.
  std::uint64_t id() const noexcept { return state_->id(); }

  /// True for handles of one fiber.
  friend bool operator==(const any_fiber& a, const any_fiber& b) noexcept {
    return a.state_.get() == b.state_.get();
  }

 private:
  friend struct detail::handle_access;

  detail::task_ref<detail::task> state_;
};

/// The fibers of the calling thread that were spawned and have not ended, the calling one among
/// them, in the order of their spawn. killall(live_fibers()) ends a program's work, whoever has
/// started it. Makes the thread a worker if it is none, and then throws what that throws; throws
/// std::bad_alloc. Never parks.
COIR_API std::vector<any_fiber> live_fibers();

}  // namespace coir
