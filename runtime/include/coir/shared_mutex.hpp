/// A lock for one writer or many readers.
#pragma once

#include <coir/detail/wait_queue.hpp>
#include <coir/export.hpp>

#include <cstddef>

namespace coir {

/// std::shared_timed_mutex for fibers; std::unique_lock, std::shared_lock and std::scoped_lock work
/// on it. Fair: fibers get it in order of arrival, so that readers who come behind a waiting writer
/// wait for it to come and go, and neither kind starves. Readers with no writer between them hold
/// it together.
///
/// A writer is known by its fiber; of readers there is only a count. A fiber must not take it again
/// in any way while it reads, not even to read: behind a writer that waits it would wait for
/// itself. Constant-initialised; must not be destroyed while held or waited for.
class COIR_API shared_mutex {
 public:
  constexpr shared_mutex() noexcept = default;
  shared_mutex(const shared_mutex&) = delete;
  shared_mutex& operator=(const shared_mutex&) = delete;

  /// Takes it for writing; parks while others hold it. Throws fiber_exit when the fiber is killed
  /// meanwhile, and std::system_error (resource_deadlock_would_occur) when the fiber holds it for
  /// writing already. Any fiber or thread.
  void lock() { lock_by(detail::never); }
  /// Takes it for writing if nobody holds it; never parks. Any fiber or thread.
  bool try_lock();
  /// As lock, but for no longer than `timeout`; true when it was taken. Readers behind a writer
  /// that gives up go on.
  template <class Rep, class Period>
  bool try_lock_for(std::chrono::duration<Rep, Period> timeout) {
    return lock_by(detail::deadline_after(timeout));
  }
  /// As lock, but until `when` at the latest; true when it was taken.
  template <class Duration>
  bool try_lock_until(std::chrono::time_point<std::chrono::steady_clock, Duration> when) {
    return lock_by(detail::deadline_at(when));
  }
  /// Ends writing; the longest waiter gets it, a reader together with those up to the next writer.
  /// Only the writer may call: anyone else gets std::system_error (operation_not_permitted). Never
  /// parks.
  void unlock();

  /// Takes it for reading; parks while a writer holds it or waits for it. Throws fiber_exit when
  /// the fiber is killed meanwhile, and std::system_error (resource_deadlock_would_occur) when the
  /// fiber holds it for writing. Any fiber or thread.
  void lock_shared() { lock_shared_by(detail::never); }
  /// Takes it for reading if no writer holds it or waits for it; never parks. Any fiber or thread.
  bool try_lock_shared();
  /// As lock_shared, but for no longer than `timeout`; true when it was taken.
  template <class Rep, class Period>
  bool try_lock_shared_for(std::chrono::duration<Rep, Period> timeout) {
    return lock_shared_by(detail::deadline_after(timeout));
  }
  /// As lock_shared, but until `when` at the latest; true when it was taken.
  template <class Duration>
  bool try_lock_shared_until(std::chrono::time_point<std::chrono::steady_clock, Duration> when) {
    return lock_shared_by(detail::deadline_at(when));
  }
  /// Ends reading; after the last reader the longest waiter gets it. Throws std::system_error
  /// (operation_not_permitted) when nobody reads; that the caller is no reader while others are
  /// goes unnoticed. Never parks.
  void unlock_shared();

 private:
  bool lock_by(detail::deadline until);
  bool lock_shared_by(detail::deadline until);
  bool is_written() noexcept;
  bool may_read() noexcept;
  void admit() noexcept;
  void leave_queue() noexcept;

  detail::short_lock lock_;
  detail::wait_queue
      waiters_;  ///< guarded by lock_; writers have a payload. Empty while it is free
  detail::control_block* writer_ = nullptr;  ///< guarded by lock_
  std::size_t readers_ = 0;                  ///< guarded by lock_; 0 while there is a writer
  /// The writer was woken with it and has not gone on yet. Set under lock_, cleared by the writer;
  /// read by others only when the writer is gone
  bool is_handed_over_ = false;
};

/// std::shared_timed_mutex: shared_mutex itself has its members.
using shared_timed_mutex = shared_mutex;

}  // namespace coir
