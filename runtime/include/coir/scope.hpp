/// Fibers that end with a block of code: a nursery.
#pragma once

#include <coir/detail/interruption.hpp>
#include <coir/group.hpp>

#include <cstdint>
#include <exception>
#include <type_traits>
#include <utility>

namespace coir {

/// What a scope does when one of its fibers fails.
enum class on_failure : std::uint8_t {
  ignore,       ///< nothing: the others go on, and the fiber's get() tells who asks
  kill_others,  ///< kills the others and throws the error into the scope's own code, as Trio does
};

/// A group that does not outlive a block of code: left at its end, it joins its fibers; left by an
/// exception, it kills them first. gevent's fiber in a with-statement, for any number of fibers;
/// for one it is a scope with one spawn.
///
///     coir::scope s;
///     auto left = s.spawn(fetch, "left");
///     auto right = s.spawn(fetch, "right");
///     return left.get() + right.get();
///
/// A destructor cannot see the exception that leaves the block, so the fibers of a scope object are
/// killed with fiber_exit; with_scope() catches it and kills them with just that. The fiber that
/// made the scope must destroy it, and must not be a member; any fiber or thread may spawn into it.
class COIR_API scope : public group {
 public:
  /// Makes the thread a worker if it is none, and then throws what that throws. Never parks.
  explicit scope(on_failure policy = on_failure::ignore) : scope(nullptr, policy) {}
  /// The same for fibers that begin on any worker of `on`, which must outlive the scope: see
  /// workers::spawn.
  explicit scope(workers& on, on_failure policy = on_failure::ignore) : scope(&on, policy) {}
  /// Parks until all fibers have ended. When an exception is under way they are killed with
  /// fiber_exit, and a kill of the waiting fiber is kept until they have ended. Otherwise it is
  /// finish(), and what ends that wait, a kill or the deadline of a timeout_scope, is what the
  /// fibers are killed with, and is thrown once they have ended.
  ~scope() noexcept(false);

  /// Parks until all fibers have ended. With on_failure::kill_others, then throws the error of the
  /// first one that failed, unless it was thrown already; else failures are silent here, as in
  /// gevent: ask the handles. Throws fiber_exit when the caller is killed meanwhile. Only the fiber
  /// that made the scope may call.
  void join() { join_until(detail::never); }
  /// As join, but for no longer than `timeout`; true when all have ended.
  template <class Rep, class Period>
  bool join_for(std::chrono::duration<Rep, Period> timeout) {
    return join_until(detail::deadline_after(timeout));
  }

  /// group::kill of the members. From now on a failure ends nothing and is thrown nowhere.
  void kill(bool wait = true) { kill(nullptr, wait); }
  /// As kill, but throws `error` in the members instead of fiber_exit (which null means).
  void kill(const std::exception_ptr& error, bool wait = true) {
    ignore_failures();
    group::kill(error, wait);
  }
  /// As kill, but waits for no longer than `timeout`; true when the scope is empty.
  template <class Rep, class Period>
  bool kill_for(std::chrono::duration<Rep, Period> timeout,
                const std::exception_ptr& error = nullptr) {
    ignore_failures();
    return group::kill_for(timeout, error);
  }

  /// Kills the members with `error` and parks until the scope is empty; a kill of the waiting fiber
  /// is kept until then. For code that has caught `error` on its way out of the scope.
  void abandon(const std::exception_ptr& error) noexcept;

 private:
  struct owner_interruption : detail::interruption {
    scope* owner = nullptr;
  };
  struct remote_interrupt;

  scope(workers* on, on_failure policy);
  static void member_failed(void* self, const std::exception_ptr& error) noexcept;
  [[noreturn]] static void raise(detail::interruption& in);
  void interrupt_owner() noexcept;
  void ignore_failures() noexcept;
  bool join_until(detail::deadline until);

  const on_failure policy_;
  const int uncaught_;  ///< exceptions that were under way when it was made
  detail::control_block* const fiber_;
  owner_interruption in_;
  detail::short_lock lock_;
  std::exception_ptr failure_;  ///< guarded by lock_, as what follows: of the first that failed
  bool is_told_ = false;        ///< it was thrown
  bool ignores_failures_;
};

/// Calls `f(s)` with a scope of that policy, waits for the scope's fibers, and returns what `f`
/// returned. Whatever leaves `f`, or ends the wait, kills the fibers, which get just that exception
/// thrown, and is thrown once they have ended. Parks.
template <class Function>
  requires std::is_invocable_v<Function, scope&>
auto with_scope(on_failure policy, Function&& f) -> std::invoke_result_t<Function, scope&> {
  scope s(policy);
  try {
    if constexpr (std::is_void_v<std::invoke_result_t<Function, scope&>>) {
      std::forward<Function>(f)(s);
      s.join();
    } else {
      std::invoke_result_t<Function, scope&> result = std::forward<Function>(f)(s);
      s.join();
      return result;
    }
  } catch (...) {
    s.abandon(std::current_exception());
    throw;
  }
}

/// with_scope in which a failure ends nothing.
template <class Function>
  requires std::is_invocable_v<Function, scope&>
auto with_scope(Function&& f) -> std::invoke_result_t<Function, scope&> {
  return with_scope(on_failure::ignore, std::forward<Function>(f));
}

}  // namespace coir
