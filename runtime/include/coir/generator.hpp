/// Functions that hand out one value after the other: Python's generators, on a stack of their own.
///
///   coir::generator<int> squares([](auto& yield) {
///     for (int i = 0; i < 10; ++i) yield(i * i);
///   });
///   for (int n : squares) ...
///
/// The body runs as a part of whichever fiber asks for a value, as if it were called: it has that
/// fiber's fiber_local values, locks, time limits and kills, may do whatever that fiber may, and
/// may yield from any depth of calls. Each next costs two switches of stacks and no scheduling.
#pragma once

#include <coir/detail/generator_state.hpp>
#include <coir/exceptions.hpp>
#include <coir/export.hpp>

#include <cstddef>
#include <exception>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace coir {

template <class Out, class In, class Return>
class generator;

/// By what a generator's body hands out values; functions that it calls take it by reference. Made
/// by the generator only, and of use only inside its body.
template <class Out, class In = void>
class yielder {
 public:
  yielder(const yielder&) = delete;
  yielder& operator=(const yielder&) = delete;

  /// Hands out a value and leaves the body until the next one is asked for. Returns what send()
  /// brings; when it was next() that asked, a value-initialised In. Throws what throw_in() throws
  /// in, fiber_exit when the generator is closed or destroyed, and std::logic_error when the
  /// calling fiber is not in this generator's body, or has entered another one inside it.
  In operator()(Out value) {
    channel_.yield(&value);
    if constexpr (!std::is_void_v<In>) {
      if (channel_.sent) return std::move(*channel_.sent);
      if constexpr (std::is_default_constructible_v<In>) {
        return In();
      } else {
        throw std::logic_error("coir::generator: this one needs values: use send, not next");
      }
    }
  }

  /// Hands out all that another generator does, and returns what it returns: Python's yield from.
  /// What is sent and thrown in goes to that one; a close closes it first.
  template <class Return>
  Return from(generator<Out, In, Return>& inner);
  /// As above; moves what it returns.
  template <class Return>
  Return from(generator<Out, In, Return>&& inner);
  /// Hands out every element of a range. What is sent meanwhile is dropped.
  template <class Range>
  void from(Range&& range) {
    for (auto&& each : range) (*this)(Out(std::forward<decltype(each)>(each)));
  }

 private:
  template <class, class, class>
  friend class generator;
  explicit yielder(detail::generator_channel<In>& channel) noexcept : channel_(channel) {}
  /// Hands out all that `inner` does.
  template <class Return>
  void delegate(generator<Out, In, Return>& inner);

  detail::generator_channel<In>& channel_;
};

/// Hands out values of type Out, takes values of type In by send(), and returns a Return at its
/// end: Python's Generator[Out, In, Return]. Moves, and does not copy. An input range, once.
///
/// A generator belongs to the thread that first asked it for a value; use on another one is
/// std::logic_error. Calls on one generator from several fibers are fine, but not while it runs. A
/// value In() stands for Python's None: with In = std::optional<X> it is an empty one.
///
/// A kill or time limit of the fiber that asks is thrown at the wait in the body and goes through
/// next() from there. What the body takes from that fiber and keeps over a yield stays that
/// fiber's: a lock must be given back by it, a no_kill guard must not outlive it, and a
/// timeout_scope goes on limiting it until its scope ends, whoever asks meanwhile.
template <class Out, class In = void, class Return = void>
class generator {
  static_assert(std::is_object_v<Out>, "values are moved: use a pointer for a reference");
  static_assert(!std::is_reference_v<In> && !std::is_reference_v<Return>);

 public:
  class iterator;

  /// Keeps `body`, a function that takes a yielder<Out, In>& and returns a Return, and runs nothing
  /// yet. Throws std::bad_alloc. Never parks.
  template <class Body>
    requires std::is_invocable_r_v < Return, Body&, yielder<Out, In>
  & > explicit generator(Body body) : generator(attributes{}, std::move(body)) {}
  /// As above, with a stack size.
  template <class Body>
    requires std::is_invocable_r_v < Return, Body&, yielder<Out, In>
  & > generator(const attributes& how, Body body) : state_(new bound<Body>(how, std::move(body))) {}
  generator(generator&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  generator& operator=(generator&& other) noexcept {
    generator taken(std::move(other));
    std::swap(state_, taken.state_);
    return *this;
  }
  /// close(), except that nothing is thrown: what the body throws instead of fiber_exit is reported
  /// on stderr, and a body that yields on is closed again, a hundred times at most, and then
  /// abandoned with a report. A kill or time limit of the caller that ends a wait in the body
  /// meanwhile is thrown again at the caller's next wait.
  ///
  /// Two things are errors and reported on stderr. A generator destroyed while it runs goes on, and
  /// fiber_exit is thrown at its next yield. One destroyed on another thread is unwound by its own
  /// thread, later, in a fiber of its own: nothing that its body uses may be gone by then.
  ~generator() {
    if (!state_) return;
    state_->end();
    state_->release();
  }

  /// Runs the body to its next yield and returns the value; nothing once the body has ended, and
  /// ever after. Rethrows what the body throws, fiber_exit included, which ends it. Throws
  /// std::logic_error when the generator runs already, belongs to another thread or was moved from;
  /// std::system_error when there is no memory for its stack. Parks if the body does.
  std::optional<Out> next() {
    channel().sent = nullptr;
    return taken(state_->resume());
  }
  /// As next(), and the yield in the body returns `value`. Throws std::logic_error also when the
  /// body has not begun: there is no yield yet to return it, so call next() first.
  template <class Value>
    requires(!std::is_void_v<In> && std::is_constructible_v<detail::storable<In>, Value>)
  std::optional<Out> send(Value&& value) {
    channel().check_can_send();
    In kept(std::forward<Value>(value));
    state_->sent = &kept;
    return taken(state_->resume());
  }
  /// As next(), and the yield in the body throws `error`. If the body has not begun it never runs;
  /// then, and when it has ended, `error` is rethrown here. Throws std::invalid_argument for a null
  /// `error`.
  std::optional<Out> throw_in(std::exception_ptr error) {
    channel().sent = nullptr;
    return taken(state_->throw_in(std::move(error)));
  }
  /// Ends the body: fiber_exit is thrown at its yield. If the body has not begun it never runs.
  /// Rethrows what the body throws in its place, and throws std::logic_error when the body yields
  /// on; it can be closed again then. Otherwise as next(). Does nothing when the body has ended.
  void close() {
    channel().sent = nullptr;
    state_->close();
  }

  /// True once the body has ended, or never will run. Never parks.
  bool is_done() const { return channel().is_done(); }
  /// What the body has returned. Throws std::logic_error when it has not ended by returning. Never
  /// parks.
  const detail::storable<Return>& result() const requires(!std::is_void_v<Return>) {
    channel();
    if (!state_->result) throw std::logic_error("coir::generator: it has not returned a value");
    return *state_->result;
  }

  /// Asks for the next value, as next() does, and stands on it. A loop that is left early can be
  /// taken up again by another.
  iterator begin() { return iterator(channel()); }
  /// The end of every generator. Never parks.
  std::default_sentinel_t end() const noexcept { return std::default_sentinel; }

 private:
  friend class yielder<Out, In>;

  struct typed_state : detail::generator_channel<In> {
    using detail::generator_channel<In>::generator_channel;
    std::optional<detail::storable<Return>> result;
  };

  template <class Body>
  struct bound final : typed_state {
    bound(const attributes& how, Body&& b) : typed_state(how), body(std::move(b)) {}
    void run() override {
      yielder<Out, In> yield(*this);
      if constexpr (std::is_void_v<Return>) {
        (*body)(yield);
      } else {
        this->result.emplace((*body)(yield));
      }
    }
    void drop_body() noexcept override { body.reset(); }
    std::optional<Body> body;
  };

  typed_state& channel() const {
    if (!state_) throw std::logic_error("coir::generator: it was moved from");
    return *state_;
  }
  static std::optional<Out> taken(void* value) {
    if (!value) return std::nullopt;
    return std::optional<Out>(std::move(*static_cast<Out*>(value)));
  }

  typed_state* state_;
};

/// Stands on one value of a generator. An input iterator: copies advance together.
template <class Out, class In, class Return>
class generator<Out, In, Return>::iterator {
 public:
  /// As std::input_iterator wants it.
  using value_type = Out;
  /// As std::input_iterator wants it.
  using difference_type = std::ptrdiff_t;
  /// As std::input_iterator wants it.
  using iterator_concept = std::input_iterator_tag;

  /// Of no use but to be assigned to.
  iterator() noexcept = default;
  /// The value; it lives until the generator goes on.
  Out& operator*() const noexcept { return *value_; }
  /// As operator*.
  Out* operator->() const noexcept { return value_; }
  /// Asks for the next value, as next() does.
  iterator& operator++() {
    state_->sent = nullptr;
    value_ = static_cast<Out*>(state_->resume());
    return *this;
  }
  /// As above.
  void operator++(int) { ++*this; }
  /// True once the body has ended.
  friend bool operator==(const iterator& i, std::default_sentinel_t) noexcept {
    return i.value_ == nullptr;
  }

 private:
  friend class generator;
  explicit iterator(typed_state& state) : state_(&state) { ++*this; }

  typed_state* state_ = nullptr;
  Out* value_ = nullptr;
};

template <class Out, class In>
template <class Return>
void yielder<Out, In>::delegate(generator<Out, In, Return>& inner) {
  auto& from = inner.channel();
  from.sent = nullptr;
  void* value = from.resume();
  while (value) {
    std::exception_ptr thrown;
    try {
      channel_.yield(value);
    } catch (const fiber_exit&) {
      inner.close();
      throw;
    } catch (...) {
      thrown = std::current_exception();
    }
    from.sent = thrown ? nullptr : channel_.sent;
    value = thrown ? from.throw_in(std::move(thrown)) : from.resume();
  }
}

template <class Out, class In>
template <class Return>
Return yielder<Out, In>::from(generator<Out, In, Return>& inner) {
  delegate(inner);
  if constexpr (!std::is_void_v<Return>) return inner.result();
}

template <class Out, class In>
template <class Return>
Return yielder<Out, In>::from(generator<Out, In, Return>&& inner) {
  delegate(inner);
  if constexpr (!std::is_void_v<Return>) {
    inner.result();  // throws when there is none
    return std::move(*inner.channel().result);
  }
}

}  // namespace coir
