/// Values that each fiber has for itself: gevent.local.
#pragma once

#include <coir/detail/any_call.hpp>
#include <coir/detail/local_key.hpp>
#include <coir/export.hpp>

#include <concepts>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace coir {

/// A variable of which each fiber sees its own value, as thread_local gives one to each thread. A
/// fiber starts without; its first access makes the value. Any fiber or thread may use it; a
/// thread's own stack counts as a fiber, also on a thread that never used coir. A raw context has
/// values of its own; a generator sees those of the fiber that runs it.
///
/// A fiber's values are destroyed on that fiber, in no particular order, after its function and
/// arguments are gone and before its joiners wake. Destructors may park and may use other
/// fiber_locals; a value that is made anew meanwhile is destroyed as well, four times at most: what
/// is made even then lives as long as the fiber_local. Those of a thread are destroyed at its end.
///
/// A reference stays valid until the value's end. Costs an index in a small table of the fibers
/// that use it, and nothing in others.
template <class T>
class fiber_local {
  static_assert(std::is_object_v<T> && !std::is_const_v<T> && !std::is_array_v<T>);

 public:
  /// Values begin as T(). Where T has no default constructor, get() before set() throws
  /// std::logic_error. Throws std::bad_alloc. Never parks.
  fiber_local() = default;
  /// Values begin as what `make()` returns; each fiber calls it at its first access, so it may be
  /// called by several threads at a time. It may park. Throws std::bad_alloc. Never parks itself.
  template <class Make>
    requires std::is_invocable_r_v<T, Make&>
  explicit fiber_local(Make make)
      : maker_([make = std::move(make)]() mutable { return new node(make()); }) {}
  fiber_local(const fiber_local&) = delete;
  fiber_local& operator=(const fiber_local&) = delete;
  /// Destroys the values of all fibers, here and now, also of such that run on. They must not use
  /// them at the same time.
  ~fiber_local() = default;

  /// The calling fiber's value, made when there is none yet: that may throw what its constructor
  /// throws, and std::bad_alloc.
  T& get() {
    detail::local_node* const found = key_.find();
    return found ? static_cast<node*>(found)->value : make();
  }
  /// As get().
  T& operator*() { return get(); }
  /// As get().
  T* operator->() { return &get(); }
  /// Gives the calling fiber the value `value`, and never calls what makes values. Throws
  /// std::bad_alloc, and what assigning throws. Never parks, unless T's assignment or destructor
  /// does.
  T& set(T value) {
    if constexpr (std::is_move_assignable_v<T>) {
      if (T* const present = find()) return *present = std::move(value);
    }
    return put(new node(std::move(value)));
  }
  /// Destroys the calling fiber's value; the next get() makes a new one. Never parks, unless T's
  /// destructor does.
  void reset() noexcept { key_.remove(); }
  /// The calling fiber's value, null when it has none; makes none. Never parks.
  T* find() const noexcept {
    detail::local_node* const found = key_.find();
    return found ? &static_cast<node*>(found)->value : nullptr;
  }
  /// True when the calling fiber has a value. Never parks.
  bool has_value() const noexcept { return key_.find() != nullptr; }

 private:
  struct node final : detail::local_node {
    template <class... Args>
    explicit node(Args&&... args) : value(std::forward<Args>(args)...) {
      destroy = [](detail::local_node* self) noexcept { delete static_cast<node*>(self); };
    }
    T value;
  };

  [[gnu::noinline]] T& make() {
    if (maker_) return put(maker_());
    if constexpr (std::default_initializable<T>) {
      return put(new node());
    } else {
      throw std::logic_error("coir::fiber_local: this fiber has no value yet");
    }
  }
  T& put(node* made) {
    try {
      key_.put(made);
    } catch (...) {
      delete made;
      throw;
    }
    return made->value;
  }

  detail::any_call<node*()> maker_;
  detail::local_key key_;  ///< destroyed first: its values may use what the maker has captured
};

}  // namespace coir
