/// Mutual exclusion that its owner may enter again.
#pragma once

#include <coir/mutex.hpp>

#include <atomic>
#include <cstddef>

namespace coir {

/// std::recursive_timed_mutex for fibers, gevent's RLock: a mutex that the fiber which holds it may
/// take again, and is free once that fiber has unlocked it as often as it took it. Fair as mutex
/// is. Owned by a fiber, not by a thread. Constant-initialised; must not be destroyed while held or
/// waited for. coir::condition_variable works on mutex only.
class COIR_API recursive_mutex {
 public:
  constexpr recursive_mutex() noexcept = default;
  recursive_mutex(const recursive_mutex&) = delete;
  recursive_mutex& operator=(const recursive_mutex&) = delete;

  /// Takes the mutex, once more if the fiber holds it already; parks while another fiber holds it.
  /// Throws fiber_exit when the fiber is killed meanwhile. Any fiber or thread.
  void lock() { lock_until(detail::never); }
  /// Takes the mutex if nobody else holds it; never parks. Any fiber or thread.
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
  /// Undoes one lock; the last one gives the mutex to the longest waiter, or frees it. Only the
  /// owner may call: anyone else gets std::system_error (operation_not_permitted). Never parks.
  void unlock();

 private:
  bool lock_until(detail::deadline until);

  mutex mutex_;
  /// The fiber that holds mutex_, null when there is none. Written by that fiber only, so that a
  /// fiber finds itself here exactly when it is the owner
  std::atomic<const detail::control_block*> owner_{nullptr};
  std::size_t depth_ = 0;  ///< how often the owner holds it; guarded by mutex_
};

/// std::recursive_timed_mutex: recursive_mutex itself has its members.
using recursive_timed_mutex = recursive_mutex;

}  // namespace coir
