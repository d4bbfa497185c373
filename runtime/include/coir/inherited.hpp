/// Values that a fiber hands down to those it spawns: Python's contextvars.
#pragma once

#include <coir/detail/inherited_key.hpp>
#include <coir/export.hpp>

#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace coir {

/// A variable of which a fiber begins with the value that its spawner had at the spawn: with
/// spawn_after and in a pool too, it is the moment of that call that counts. Setting it affects the
/// fiber itself and those it spawns from then on, nobody else. Any fiber or thread may use it; a
/// thread begins without a value. A raw context inherits from the fiber that constructed it; a
/// generator shares the values of the fiber that runs it.
///
/// Values are constant and shared by all fibers that see them, on whatever thread: what they refer
/// to must bear that. A spawn costs one count, and nothing while its fiber has no value at all. A
/// set() copies the fiber's table of values if that is shared with others.
///
/// Unlike in Python an object may be local; when it is destroyed, its values live on unseen until
/// the fibers that have them end.
template <class T>
class inherited {
  static_assert(std::is_object_v<T> && !std::is_const_v<T> && !std::is_array_v<T>);

 public:
  class token;
  class scope;

  /// Without a default: get() throws until a value is set. Throws std::bad_alloc. Never parks.
  inherited() = default;
  /// Where nothing is set, get() returns `otherwise`. Throws std::bad_alloc. Never parks.
  explicit inherited(T otherwise) : otherwise_(std::move(otherwise)) {}
  inherited(const inherited&) = delete;
  inherited& operator=(const inherited&) = delete;

  /// The value, or the default. Throws std::logic_error when there is neither. The reference stays
  /// valid until this fiber sets another value or ends. Never parks.
  const T& get() const {
    if (const T* const found = find()) return *found;
    if (otherwise_) return *otherwise_;
    throw std::logic_error("coir::inherited: no value is set, and it has no default");
  }
  /// The value, or `otherwise` when none is set. Never parks.
  T get_or(T otherwise) const {
    const T* const found = find();
    return found ? *found : std::move(otherwise);
  }
  /// As get().
  const T& operator*() const { return get(); }
  /// As get().
  const T* operator->() const { return &get(); }
  /// The value that is set, null when none is, whatever the default. Never parks.
  const T* find() const noexcept {
    detail::shared_value* const found = key_.find();
    return found ? &static_cast<node*>(found)->value : nullptr;
  }
  /// True when a value is set, by this fiber or one that it descends from. Never parks.
  bool has_value() const noexcept { return key_.find() != nullptr; }

  /// Sets the value for the calling fiber and those it spawns from now on. What the token is for
  /// says reset(); it may be dropped. Throws std::bad_alloc. Never parks.
  token set(T value) { return token(*this, exchange(std::move(value))); }
  /// Undoes the set() that returned `from`: the value is again what it was before, or unset. Throws
  /// std::invalid_argument when that was another variable or another fiber, std::logic_error when
  /// the token was used before, std::bad_alloc. Never parks.
  void reset(token& from) { from.give_back(*this); }
  /// As reset(token&).
  void reset(token&& from) { from.give_back(*this); }
  /// Sets the value until the end of a scope: `auto kept = v.scoped(x);`. Throws std::bad_alloc.
  /// Never parks.
  [[nodiscard]] scope scoped(T value) { return scope(*this, exchange(std::move(value))); }

 private:
  struct node final : detail::shared_value {
    explicit node(T&& v) : value(std::move(v)) {
      destroy = [](detail::shared_value* self) noexcept { delete static_cast<node*>(self); };
    }
    const T value;
  };

  detail::shared_value_ref exchange(T&& value) {
    detail::shared_value_ref made(new node(std::move(value)));
    return key_.exchange(made);
  }

  detail::inherited_key key_;
  std::optional<T> otherwise_;
};

/// Remembers what a set() replaced. Moves; one that is dropped changes nothing.
template <class T>
class inherited<T>::token {
 public:
  /// What was moved from counts as used.
  token(token&& other) noexcept
      : variable_id_(other.variable_id_),
        fiber_(other.fiber_),
        before_(std::move(other.before_)),
        is_used_(std::exchange(other.is_used_, true)) {}
  /// As above.
  token& operator=(token&& other) noexcept {
    variable_id_ = other.variable_id_;
    fiber_ = other.fiber_;
    before_ = std::move(other.before_);
    is_used_ = std::exchange(other.is_used_, true);
    return *this;
  }

 private:
  friend class inherited;
  token(inherited& variable, detail::shared_value_ref before) noexcept
      : variable_id_(variable.key_.id()), before_(std::move(before)) {}

  void give_back(inherited& variable) {
    if (variable_id_ != variable.key_.id())
      throw std::invalid_argument("coir::inherited: the token is of another variable");
    if (fiber_ != detail::fiber_identity::current())
      throw std::invalid_argument("coir::inherited: the token is of another fiber");
    if (is_used_) throw std::logic_error("coir::inherited: the token was used before");
    variable.key_.exchange(before_);
    is_used_ = true;
  }

  std::uint64_t variable_id_;
  detail::fiber_identity fiber_ = detail::fiber_identity::current();
  detail::shared_value_ref before_;
  bool is_used_ = false;
};

/// Gives a variable back the value it had, at the end of a C++ scope. Belongs to the fiber that
/// made it; the variable must outlive it. The end needs a little memory when the fiber has spawned
/// meanwhile; when there is none, std::terminate is called.
template <class T>
class [[nodiscard]] inherited<T>::scope {
 public:
  scope(const scope&) = delete;
  scope& operator=(const scope&) = delete;
  ~scope() { variable_.key_.exchange(before_); }

 private:
  friend class inherited;
  scope(inherited& variable, detail::shared_value_ref before) noexcept
      : variable_(variable), before_(std::move(before)) {}

  inherited& variable_;
  detail::shared_value_ref before_;
};

/// The values of all inherited variables, as one fiber saw them: Python's contextvars.Context. A
/// copy is cheap. One object is used by one thread at a time.
class COIR_API inherited_context {
 public:
  /// Without any values.
  inherited_context() noexcept = default;
  /// What the calling fiber sees now: contextvars.copy_context. Never parks.
  static inherited_context copy() noexcept {
    inherited_context made;
    made.values_ = detail::inherited_snapshot::of_caller();
    return made;
  }

  /// Calls `f(args...)` in the calling fiber with these values in place of its own. What `f` sets
  /// stays in this object; the fiber's own values are back afterwards. Throws std::logic_error when
  /// the object is in use by a run() already. Parks if `f` does.
  template <class Function, class... Args>
    requires std::is_invocable_v<Function, Args...>
  decltype(auto) run(Function&& f, Args&&... args) {
    const use in_use(*this);
    return std::forward<Function>(f)(std::forward<Args>(args)...);
  }

 private:
  struct use {
    explicit use(inherited_context& c) : context(c) {
      if (std::exchange(c.is_in_use_, true))
        throw std::logic_error("coir::inherited_context: it is in use already");
      c.values_.swap_with_caller();
    }
    use(const use&) = delete;
    use& operator=(const use&) = delete;
    ~use() {
      context.values_.swap_with_caller();
      context.is_in_use_ = false;
    }
    inherited_context& context;
  };

  detail::inherited_snapshot values_;
  bool is_in_use_ = false;
};

}  // namespace coir
