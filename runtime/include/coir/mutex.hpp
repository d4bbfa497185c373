/// Mutual exclusion between fibers of any worker and plain threads.
#pragma once

#include <coir/detail/wait_queue.hpp>
#include <coir/export.hpp>

#include <cstdint>
#include <mutex>

namespace coir {
namespace detail {
class worker;
}

/// std::timed_mutex for fibers; std::lock_guard, unique_lock and scoped_lock work on it. Fair:
/// unlock hands it to the fiber that has waited longest, or, a bounded number of times, to the one
/// of the same worker that has. Owned by a fiber, not by a thread. Not recursive.
/// Constant-initialised; must not be destroyed while held or waited for.
class COIR_API mutex {
 public:
  constexpr mutex() noexcept = default;
  mutex(const mutex&) = delete;
  mutex& operator=(const mutex&) = delete;

  /// Takes the mutex; parks while another fiber holds it. Throws fiber_exit when the fiber is
  /// killed meanwhile, and std::system_error (resource_deadlock_would_occur) when the fiber holds
  /// it already. Any fiber or thread.
  void lock();
  /// Takes the mutex if nobody holds it; never parks. Any fiber or thread.
  bool try_lock();
  /// As lock, but for no longer than `timeout`; true when it was taken.
  template <class Rep, class Period>
  bool try_lock_for(std::chrono::duration<Rep, Period> timeout) {
    return lock_until(detail::deadline_after(timeout));
  }
  /// As lock, but until `when` at the latest; true when it was taken.
  template <class Duration>
  bool try_lock_until(std::chrono::time_point<std::chrono::steady_clock, Duration> when) {
    return lock_until(detail::deadline_at(when));
  }
  /// Gives the mutex to the longest waiter, or frees it. Only the owner may call: anyone else gets
  /// std::system_error (operation_not_permitted). Never parks.
  void unlock();

 private:
  friend class condition_variable;
  friend struct detail::wait_graph;
  friend class recursive_mutex;
  bool lock_until(detail::deadline until);
  bool release(const detail::worker& w) noexcept;
  detail::waiter* take_heir(const detail::worker& w) noexcept;
  void relock_after_wait(detail::control_block* self) noexcept;
  bool take(detail::control_block* self) noexcept;
  detail::wait_status acquire(detail::deadline until, detail::interruptible kind);

  detail::short_lock lock_;
  detail::wait_queue waiters_;              ///< guarded by lock_
  detail::control_block* owner_ = nullptr;  ///< guarded by lock_
  /// The owner was woken with the mutex and has not gone on yet. Set under lock_, cleared by the
  /// owner; read by others only when the owner is gone
  bool is_handed_over_ = false;
  std::uint8_t bypasses_ = 0;    ///< guarded by lock_: how often the first waiter was passed by
  std::uint32_t bypass_ms_ = 0;  ///< guarded by lock_: when that began, on the owner's clock
};

/// std::timed_mutex: mutex itself has its members.
using timed_mutex = mutex;

}  // namespace coir
