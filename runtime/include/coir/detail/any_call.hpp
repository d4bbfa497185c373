/// std::move_only_function of a later standard, as little of it as coir needs: <functional> is the
/// costliest header to compile.
#pragma once

#include <type_traits>
#include <utility>

namespace coir::detail {

template <class Signature>
class any_call;

/// Owns something that can be called, or nothing. Throws std::bad_alloc when it is made.
template <class Result, class... Args>
class any_call<Result(Args...)> {
 public:
  any_call() noexcept = default;
  template <class Function>
    requires(!std::is_same_v<std::decay_t<Function>, any_call> &&
             std::is_invocable_r_v<Result, std::decay_t<Function>&, Args...>)
  any_call(Function&& f) : held_(new holder<std::decay_t<Function>>(std::forward<Function>(f))) {}
  any_call(any_call&& other) noexcept : held_(std::exchange(other.held_, nullptr)) {}
  any_call& operator=(any_call other) noexcept {
    std::swap(held_, other.held_);
    return *this;
  }
  ~any_call() { delete held_; }

  explicit operator bool() const noexcept { return held_ != nullptr; }
  /// Must not be empty.
  Result operator()(Args... args) { return held_->call(std::forward<Args>(args)...); }

 private:
  struct base {
    virtual ~base() = default;
    virtual Result call(Args... args) = 0;
  };
  template <class Function>
  struct holder final : base {
    template <class F>
    explicit holder(F&& f) : function(std::forward<F>(f)) {}
    Result call(Args... args) override { return function(std::forward<Args>(args)...); }
    Function function;
  };

  base* held_ = nullptr;
};

}  // namespace coir::detail
