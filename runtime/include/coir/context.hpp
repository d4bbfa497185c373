/// Raw contexts that pass values to and fro: greenlets.
#pragma once

#include <coir/detail/wait_queue.hpp>
#include <coir/exceptions.hpp>
#include <coir/export.hpp>

#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

namespace coir {
namespace detail {

/// The untyped part of a context: a fiber that runs only when it is switched to.
class COIR_API raw_context {
 public:
  raw_context() = default;
  raw_context(const raw_context&) = delete;
  raw_context& operator=(const raw_context&) = delete;

  /// True once the body has ended. Never parks.
  bool is_dead() const noexcept { return stage_ == stage::dead; }

 protected:
  virtual ~raw_context();

  /// Suspends the calling fiber and runs this context, which begins or goes on after its last
  /// switch, with `value`. Returns what came with the switch back to the caller: the value lives in
  /// the switcher's frame, or in the context that ended, until the caller parks or switches again.
  /// Rethrows the error of a context that ended. Throws std::logic_error when this context is dead,
  /// runs already, waits for something else, or belongs to another thread.
  void* switch_here(void* value);
  /// Ends a context that is suspended in a switch: fiber_exit is thrown in it. To be called by the
  /// last derived destructor, while run() can still be called.
  void end() noexcept;
  /// The body, called on the context's own stack with the value of the first switch; returns the
  /// address of its result, or sets `error`.
  virtual void* run(void* value, std::exception_ptr& error) noexcept = 0;

 private:
  enum class stage : std::uint8_t {
    fresh,  ///< has not begun
    begun,  ///< runs, is suspended in a switch, or waits in the scheduler like any fiber
    dead,   ///< its body has ended
  };
  friend struct context_entry;

  void begin();
  void check_can_switch() const;

  stage stage_ = stage::fresh;
  control_block* fiber_ = nullptr;   ///< from the first switch to the end
  control_block* parent_ = nullptr;  ///< the fiber that switched here first
  void* first_value_ = nullptr;
};

}  // namespace detail

/// A coroutine with its own stack that runs only when somebody switches to it: greenlet's model. A
/// switch carries a value of type T in and brings one back. When the body returns, its value, or
/// its exception, goes to the parent: the fiber that switched to the context first. While it runs,
/// a context may use everything that a fiber may. Contexts belong to the thread that switched to
/// them first. The destructor ends a suspended body: fiber_exit is thrown at its switch.
template <class T>
class context final : public detail::raw_context {
 public:
  /// Keeps `body`, a function from T to T, and runs nothing yet. Never parks.
  template <class Body>
    requires std::is_invocable_r_v<T, Body&, T>
  explicit context(Body body) : body_(std::move(body)) {}
  ~context() { end(); }

  /// Runs this context until somebody switches back to the caller, and returns the value that came
  /// with it. The first switch passes `value` to the body, a later one makes the context's own
  /// switch_to return it. Rethrows, in the parent, what the body threw. Throws std::logic_error
  /// when the context is dead, runs already, or belongs to another thread; std::system_error when
  /// there is no memory for a stack.
  T switch_to(T value) { return std::move(*static_cast<T*>(switch_here(&value))); }

 private:
  void* run(void* value, std::exception_ptr& error) noexcept override {
    try {
      result_.emplace(body_(std::move(*static_cast<T*>(value))));
      return &*result_;
    } catch (...) {
      error = std::current_exception();
      return nullptr;
    }
  }

  std::function<T(T)> body_;
  std::optional<T> result_;
};

}  // namespace coir
