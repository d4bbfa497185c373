/// The untyped half of context<Out, In>. The protocol is explained in runtime/task/context.cpp.
#pragma once

#include <coir/detail/inherited_key.hpp>
#include <coir/detail/reference_count.hpp>
#include <coir/detail/task.hpp>
#include <coir/detail/waiter.hpp>
#include <coir/export.hpp>

#include <atomic>
#include <cstdint>
#include <exception>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <typeinfo>
#include <utility>

namespace coir::detail {

class context_state;
struct context_mailbox;

class worker;

/// Stands in for void where a value is stored.
struct nothing {};
template <class T>
using or_nothing = std::conditional_t<std::is_void_v<T>, nothing, T>;

/// What a switch brings to where it leads: a value, an error, or neither when a context was ended
/// by fiber_exit.
struct context_message {
  void* value = nullptr;  ///< in the frame that switched, or in `ended`
  const std::type_info* type = nullptr;
  std::exception_ptr error;
  task_ref<context_state> ended;  ///< the context whose result it is

  /// Moves the value out; in place of none a T().
  template <class T>
  T take();
};

/// State of one context, shared by its handles, its fiber and the contexts whose parent it is. Used
/// on one thread, but for what says otherwise.
class COIR_API context_state {
 public:
  virtual ~context_state();
  context_state(const context_state&) = delete;
  context_state& operator=(const context_state&) = delete;

  /// One more owner, one less; the last one deletes it. Any thread; never parks.
  void retain() noexcept { owners_.add(); }
  void release() noexcept {
    if (owners_.drop()) delete this;
  }

  /// Any thread; never parks.
  bool is_dead() const noexcept { return stage_.load(std::memory_order_acquire) == stage::dead; }
  /// Any thread; never parks.
  bool has_begun() const noexcept { return has_begun_.load(std::memory_order_relaxed); }
  /// Null for the plain fiber beneath. Never parks.
  context_state* parent() const noexcept { return parent_.get(); }
  /// Throws std::invalid_argument when that would make a circle, or is on another thread.
  void set_parent(context_state* parent);
  /// The running context; null in a plain fiber. Never parks.
  static context_state* current() noexcept;

  /// Switches here, to the nearest living parent of the running context, or to the plain fiber
  /// beneath it; returns what comes back, which must be of type `expected`. Throws what
  /// context_ref's functions of these names throw.
  context_message switch_here(void* value, const std::type_info& sent,
                              const std::type_info& expected);
  context_message throw_here(std::exception_ptr error, const std::type_info& expected);
  static context_message switch_up(void* value, const std::type_info& sent,
                                   const std::type_info& expected);
  static context_message switch_to_main(void* value, const std::type_info& sent,
                                        const std::type_info& expected);

  /// Ends the body because its owner goes: see context's destructor.
  void end() noexcept;

  /// Destroys the result once it was moved out.
  virtual void drop_result() noexcept = 0;

 protected:
  context_state(const attributes& how, const std::type_info& in, const std::type_info& out);
  /// Calls the body, on its own stack, with what the first switch brought; returns the address of
  /// its result.
  virtual void* run(context_message& first) = 0;
  virtual void drop_body() noexcept = 0;

 private:
  friend struct context_life;

  /// throw_here on a context that does not live: the error goes to its parent.
  context_message throw_above(worker& w, context_message m, const std::type_info& expected);

  enum class stage : std::uint8_t {
    fresh,  ///< has not begun
    begun,  ///< runs, waits in a switch, or waits in the scheduler like any fiber
    dead,   ///< its body has ended, or will never run
  };

  reference_count owners_;
  std::atomic<stage> stage_{stage::fresh};  ///< written on its own thread
  std::atomic<bool> has_begun_{false};
  bool is_orphan_ = false;             ///< nobody can switch to it: it ends at its next switch
  worker* home_ = nullptr;             ///< its worker, from the first switch on
  control_block* fiber_ = nullptr;     ///< from the first switch to the end
  control_block* ender_ = nullptr;     ///< waits, in a switch, for its end
  control_block* joiner_ = nullptr;    ///< waits, in the scheduler, for its end or its next switch
  context_mailbox* strand_ = nullptr;  ///< while it is the one that runs for a plain fiber
  task_ref<context_state> parent_;
  inherited_snapshot inherited_;  ///< until it begins
  context_message first_;         ///< from the switch to the body's begin
  attributes how_;
  const std::type_info* in_;
  const std::type_info* out_;
};

template <class T>
T context_message::take() {
  if constexpr (!std::is_void_v<T>) {
    if (value) {
      T taken = std::move(*static_cast<T*>(value));
      if (ended) ended->drop_result();
      return taken;
    }
    if constexpr (std::is_default_constructible_v<T>) {
      return T();
    } else {
      throw std::logic_error("coir::context: it was ended by fiber_exit, so there is no value");
    }
  }
}

/// A context with its body.
template <class Out, class In, class Body>
class bound_context final : public context_state {
 public:
  bound_context(const attributes& how, Body&& body)
      : context_state(how, typeid(In), typeid(Out)), body_(std::move(body)) {}

 private:
  void* run(context_message& first) override {
    if constexpr (std::is_void_v<In>) {
      return keep([&]() -> Out { return (*body_)(); });
    } else {
      return keep([&]() -> Out { return (*body_)(first.take<In>()); });
    }
  }
  template <class Call>
  void* keep(Call call) {
    if constexpr (std::is_void_v<Out>) {
      call();
      result_.emplace();
    } else {
      result_.emplace(call());
    }
    return &*result_;
  }
  void drop_body() noexcept override { body_.reset(); }
  void drop_result() noexcept override { result_.reset(); }

  std::optional<Body> body_;
  std::optional<or_nothing<Out>> result_;
};

}  // namespace coir::detail
