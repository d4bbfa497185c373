/// Raw contexts that pass values to and fro: greenlets.
///
/// A context is a function with a stack of its own that runs only when somebody switches to it. A
/// switch carries a value in, and returns with the value that some later switch brings back. While
/// it runs, a context may use everything that a fiber may: sleep, sockets, locks. It is a fiber of
/// its own to them, with its own fiber_local values, locks and errno.
///
/// Contexts form a tree. A context's parent is the context that it was constructed in; none means
/// the plain fiber (a spawned one, or a thread's own stack) beneath: the one that has switched into
/// the tree and waits for something to come back. When a context ends, its value or exception goes
/// to its parent; when that is dead, or waits for something else than a switch, to the parent's
/// parent, and so on down to the plain fiber. Ending by fiber_exit is no error and brings a
/// value-initialised value.
///
/// A context belongs to the thread that first switches to it, and its tree with it: use on another
/// thread is std::logic_error.
#pragma once

#include <coir/detail/context_state.hpp>
#include <coir/exceptions.hpp>
#include <coir/export.hpp>

#include <exception>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace coir {

/// Names a context, whatever its values are, or none: copies name the same one and keep its state,
/// not its body. None stands for the plain fiber beneath all contexts.
class any_context {
 public:
  /// None.
  any_context() noexcept = default;

  /// False for none. Never parks.
  explicit operator bool() const noexcept { return static_cast<bool>(state_); }
  /// True for two names of one context.
  friend bool operator==(const any_context& a, const any_context& b) noexcept {
    return a.state_.get() == b.state_.get();
  }

  /// True once the body was entered, and ever after. Must not be none. Any thread; never parks.
  bool has_begun() const noexcept { return state_->has_begun(); }
  /// True once the body has ended, or never will run. Must not be none. Any thread; never parks.
  bool is_dead() const noexcept { return state_->is_dead(); }
  /// Where it goes on when this one ends, even if that is dead meanwhile. Must not be none. Never
  /// parks.
  any_context parent() const noexcept { return any_context(state_->parent()); }
  /// Changes the parent, at any time; none stands for the plain fiber beneath. Throws
  /// std::invalid_argument when this context is among the parents of `parent`, or is on another
  /// thread. Must not be none. Never parks.
  void set_parent(const any_context& parent) const { state_->set_parent(parent.state_.get()); }
  /// The context that calls; none in a plain fiber. Never parks.
  static any_context current() noexcept { return any_context(detail::context_state::current()); }

 protected:
  /// Names `state`, which may be null.
  explicit any_context(detail::context_state* state) noexcept : state_(state) {
    if (state) state->retain();
  }
  /// The state; throws std::logic_error for none, as after a move.
  detail::context_state& state() const {
    if (!state_) throw std::logic_error("coir::context: there is none, or it was moved from");
    return *state_.get();
  }

  detail::task_ref<detail::context_state> state_;  ///< null for none
};

/// Names a context that takes values of type In and brings back values of type Out, either of which
/// may be void. Copies name the same context, and none of them owns it: context does.
template <class Out = void, class In = Out>
class context_ref : public any_context {
  static_assert(!std::is_reference_v<Out> && !std::is_reference_v<In>,
                "values are moved: use a pointer or a std::reference_wrapper");

 public:
  /// None.
  context_ref() noexcept = default;

  /// Runs the context until somebody switches back to the caller, and returns the value that came
  /// with that. The first switch passes `value` to the body; a later one makes the switch in which
  /// the context waits return it. Rethrows what comes as an exception. Throws std::logic_error when
  /// the context is dead, is the running one, waits for something else than a switch, waits for a
  /// value of another type, or belongs to another thread; std::system_error when there is no memory
  /// for its stack; fiber_exit or timeout when a kill or a time limit of the calling fiber ends its
  /// wait, which leaves the context alone. Parks only the calling fiber, if the context does.
  ///
  /// greenlet passes a value for a dead greenlet on to its parent, often the caller itself; here
  /// that is an error, since the parent waits for an Out and not for an In.
  Out switch_to(std::type_identity_t<detail::or_nothing<In>> value) requires(!std::is_void_v<In>) {
    return this->state().switch_here(&value, typeid(In), typeid(Out)).template take<Out>();
  }
  /// As above, for a context that takes no value.
  Out switch_to() requires std::is_void_v<In> {
    return this->state().switch_here(this, typeid(In), typeid(Out)).template take<Out>();
  }

  /// Switches to the context and throws `error` in it, from the switch in which it waits:
  /// greenlet's throw. A context that has not begun never runs: it is dead, and the error goes to
  /// its parent. So does an error thrown into a dead one. fiber_exit that nobody catches ends the
  /// context and is no error: its parent, here mostly the caller, gets a value-initialised Out.
  /// What is thrown into the running context is thrown at once. Otherwise as switch_to; throws
  /// std::invalid_argument for a null `error`.
  Out throw_into(std::exception_ptr error = std::make_exception_ptr(fiber_exit())) {
    return this->state().throw_here(std::move(error), typeid(Out)).template take<Out>();
  }

  /// From inside a context: switches to its nearest living parent that waits in a switch, down to
  /// the plain fiber beneath, with a value for it, and returns what the next switch here brings:
  /// greenlet.getcurrent().parent.switch(value). Out and In are those of the calling context, which
  /// is not checked: what is checked is that the parent waits for an Out. Throws as switch_to;
  /// std::logic_error also when no context is running, or nobody waits for it.
  static In switch_to_parent(std::type_identity_t<detail::or_nothing<Out>> value) requires(
      !std::is_void_v<Out>) {
    return detail::context_state::switch_up(&value, typeid(Out), typeid(In)).template take<In>();
  }
  /// As above, for a context that brings no value.
  static In switch_to_parent() requires std::is_void_v<Out> {
    detail::nothing value;
    return detail::context_state::switch_up(&value, typeid(Out), typeid(In)).template take<In>();
  }
  /// As switch_to_parent, but to the plain fiber beneath all contexts, whoever the parents are.
  static In switch_to_main(std::type_identity_t<detail::or_nothing<Out>> value) requires(
      !std::is_void_v<Out>) {
    return detail::context_state::switch_to_main(&value, typeid(Out), typeid(In))
        .template take<In>();
  }
  /// As above, for a context that brings no value.
  static In switch_to_main() requires std::is_void_v<Out> {
    detail::nothing value;
    return detail::context_state::switch_to_main(&value, typeid(Out), typeid(In))
        .template take<In>();
  }

 protected:
  /// Names `state`.
  explicit context_ref(detail::context_state* state) noexcept : any_context(state) {}
};

/// Owns a context: a greenlet whose body takes an In and returns an Out. Moves, and does not copy;
/// the context_ref that it is, does.
template <class Out = void, class In = Out>
class context final : public context_ref<Out, In> {
  template <class Body>
  static constexpr bool is_body = [] {
    if constexpr (std::is_void_v<In>) {
      return std::is_invocable_r_v<Out, Body&>;
    } else {
      return std::is_invocable_r_v<Out, Body&, In>;
    }
  }();

 public:
  /// Keeps `body` and runs nothing yet. The context inherits the values of `inherited` variables
  /// that the caller has now; greenlet's begin without. Throws std::bad_alloc. Never parks.
  template <class Body>
    requires is_body<Body>
  explicit context(Body body) : context(attributes{}, std::move(body)) {}
  /// As above, with a name and a stack size.
  template <class Body>
    requires is_body<Body> context(const attributes& how, Body body)
        : context_ref<Out, In>(new detail::bound_context<Out, In, Body>(how, std::move(body))) {
      this->state_->release();  // the reference that it was made with
    }
    context(context&& other) noexcept : context_ref<Out, In>(std::move(other)) {}
    context& operator=(context&& other) noexcept {
      context taken(std::move(other));
      std::swap(this->state_, taken.state_);
      return *this;
    }
    /// Ends a body that waits in a switch: fiber_exit is thrown there, and what the body returns is
    /// dropped. One that waits in the scheduler is killed, and the caller parks until it has ended;
    /// a kill of the caller is kept until then. What the body throws instead of fiber_exit is
    /// reported on stderr. A body that goes on switching is ended again, a hundred times at most,
    /// and then abandoned with a report.
    ///
    /// Two things are errors and reported on stderr. A context destroyed while it runs goes on, and
    /// fiber_exit is thrown at its next switch. One destroyed on another thread is ended by its own
    /// thread, later: nothing that its body uses may be gone by then.
    ~context() {
      if (this->state_) this->state_->end();
    }
};

}  // namespace coir
