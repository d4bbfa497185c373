/// Doing something exactly once.
#pragma once

#include <coir/detail/wait_queue.hpp>
#include <coir/export.hpp>

#include <atomic>
#include <tuple>
#include <utility>

namespace coir {

class once_flag;

/// Calls `f(args...)` if no call by the same flag has returned yet, as std::call_once does. One
/// that comes while another calls parks until that has ended: if it returned, so does this; if it
/// threw, the exception leaves that call_once, and the longest waiter calls its own `f` next.
/// Throws fiber_exit when the fiber is killed while it waits, and std::system_error
/// (resource_deadlock_would_occur) when `f` comes back to its own flag. A flag that is done costs
/// one load. Any fiber or thread.
template <class Function, class... Args>
void call_once(once_flag& flag, Function&& f, Args&&... args);

/// std::once_flag for fibers: remembers whether its call was made. Constant-initialised; must
/// outlive every call_once that uses it.
class COIR_API once_flag {
 public:
  constexpr once_flag() noexcept = default;
  once_flag(const once_flag&) = delete;
  once_flag& operator=(const once_flag&) = delete;

 private:
  template <class Function, class... Args>
  friend void call_once(once_flag& flag, Function&& f, Args&&... args);

  /// The turn to make the call; at its end the flag is done, or somebody else's turn has come.
  class turn {
   public:
    explicit turn(once_flag& flag) noexcept : flag_(flag) {}
    turn(const turn&) = delete;
    turn& operator=(const turn&) = delete;
    ~turn() { has_returned ? flag_.finish() : flag_.give_up(); }
    bool has_returned = false;

   private:
    once_flag& flag_;
  };

  bool is_done() const noexcept { return is_done_.load(std::memory_order_acquire); }
  bool begin();
  void finish() noexcept;
  void give_up() noexcept;

  std::atomic<bool> is_done_{false};  ///< written under lock_
  detail::short_lock lock_;
  detail::wait_queue waiters_;               ///< guarded by lock_
  detail::control_block* caller_ = nullptr;  ///< guarded by lock_: whose turn it is
};

template <class Function, class... Args>
void call_once(once_flag& flag, Function&& f, Args&&... args) {
  if (flag.is_done() || !flag.begin()) return;
  once_flag::turn ours(flag);
  // std::invoke, without the cost of <functional>
  std::apply(std::forward<Function>(f), std::forward_as_tuple(std::forward<Args>(args)...));
  ours.has_returned = true;
}

}  // namespace coir
