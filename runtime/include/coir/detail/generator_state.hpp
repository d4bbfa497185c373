/// The untyped half of generator<Out, In, Return>. How it works is explained in
/// runtime/task/generator.cpp.
#pragma once

#include <coir/detail/reference_count.hpp>
#include <coir/detail/task.hpp>
#include <coir/export.hpp>

#include <atomic>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

namespace coir::detail {

class worker;

/// A body on a stack of its own that runs as a part of whichever fiber asks for the next value.
/// Owned by its generator and, while the body lives, by that.
class COIR_API generator_state {
 public:
  virtual ~generator_state();
  generator_state(const generator_state&) = delete;
  generator_state& operator=(const generator_state&) = delete;
  void retain() noexcept { owners_.add(); }
  void release() noexcept {
    if (owners_.drop()) delete this;
  }

  /// Runs the body to its next yield and returns the address of the value, which lives until the
  /// next call; null once it has ended. Rethrows what the body threw. Throws std::logic_error when
  /// it is running or belongs to another thread, std::system_error when there is no memory for its
  /// stack.
  void* resume() {
    std::exception_ptr error;
    void* const value = run_to_yield(error);
    if (error) [[unlikely]]
      std::rethrow_exception(std::move(error));
    return value;
  }
  /// Throws std::logic_error unless the body stands at a yield or has ended.
  void check_can_send() const;
  /// resume(), with `error` thrown at the yield.
  void* throw_in(std::exception_ptr error);
  /// As generator::close.
  void close();
  /// Ends the body because its owner goes: as generator's destructor.
  void end() noexcept;
  /// True once the body has ended, or never will run. Any thread; never parks.
  bool is_done() const noexcept { return is_done_.load(std::memory_order_acquire); }

  /// In the body: leaves it with the address of a value, and returns when it is resumed. Throws
  /// what is thrown in, and std::logic_error when the calling fiber is not inside this body, or is
  /// further inside another one.
  void yield(void* value);

 protected:
  explicit generator_state(const attributes& how) : how_(how) {}
  /// The body, on its own stack.
  virtual void run() = 0;
  virtual void drop_body() noexcept = 0;

 private:
  friend struct generator_life;

  void* run_to_yield(std::exception_ptr& error);

  control_block* stack_ = nullptr;   ///< from the first resume to the end; holds what is not in use
  void* value_ = nullptr;            ///< of the last yield
  void* outer_ = nullptr;            ///< while it runs: the generator in whose body that happens
  worker* home_ = nullptr;           ///< from the first resume on
  std::exception_ptr thrown_in_;     ///< to be thrown at the yield
  std::exception_ptr error_;         ///< how the body has ended
  control_block* joiner_ = nullptr;  ///< waits until the body has been unwound as a fiber
  std::atomic<bool> is_done_{false};  ///< written on its own thread
  bool is_orphan_ = false;            ///< its generator was destroyed while it ran
  bool is_fiber_ = false;             ///< it is being unwound as a fiber of its own
  reference_count owners_;
  attributes how_;
};

/// Stands in for void where a value is stored.
struct no_result {};
template <class T>
using storable = std::conditional_t<std::is_void_v<T>, no_result, T>;

/// What yielder and generator share: the value that comes in.
template <class In>
class generator_channel : public generator_state {
 public:
  std::remove_reference_t<storable<In>>* sent = nullptr;  ///< by send(), in its frame; else null

 protected:
  using generator_state::generator_state;
};

}  // namespace coir::detail
