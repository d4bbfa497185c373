// Locks for readers and writers: libc's own, tried and waited for in the parking lot, as mutexes
// are; by native threads too, so that all agree on who goes first. libc prefers writers by a mark
// that a waiting writer leaves in the lock, which a try does not leave: those who wait here are
// counted in a word of the lock that libc does not use.
#include "hooks/preload/waiting.hpp"
#include "hooks/threads/parking_lot.hpp"

COIR_DEFINE_REAL(pthread_rwlock_rdlock);
COIR_DEFINE_REAL(pthread_rwlock_wrlock);
COIR_DEFINE_REAL(pthread_rwlock_tryrdlock);
COIR_DEFINE_REAL(pthread_rwlock_trywrlock);
COIR_DEFINE_REAL(pthread_rwlock_timedrdlock);
COIR_DEFINE_REAL(pthread_rwlock_timedwrlock);
COIR_DEFINE_REAL(pthread_rwlock_clockrdlock);
COIR_DEFINE_REAL(pthread_rwlock_clockwrlock);
COIR_DEFINE_REAL(pthread_rwlock_unlock);

using namespace coir;
using namespace coir::hooks;
using threads::lot_result;

namespace {

constexpr std::uint32_t reader_bit = 1;
constexpr std::uint32_t writer_bit = 2;

bool is_on() noexcept { return threads::sched->is_on.load(std::memory_order_relaxed); }

bool is_shared(const pthread_rwlock_t& lock) noexcept { return lock.__data.__shared != 0; }

unsigned& waiting_writers(pthread_rwlock_t& lock) noexcept { return lock.__data.__pad3; }

bool must_let_writers_go_first(pthread_rwlock_t& lock) noexcept {
  return lock.__data.__flags == PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP &&
         __atomic_load_n(&waiting_writers(lock), __ATOMIC_SEQ_CST) > 0;
}

int try_read(pthread_rwlock_t& lock) noexcept {
  if (must_let_writers_go_first(lock)) return EBUSY;
  return real::pthread_rwlock_tryrdlock(&lock);
}

/// Counts a writer that waits, for a scope; lets the readers go on when it was the last.
class writer_mark {
 public:
  explicit writer_mark(pthread_rwlock_t& lock) noexcept : lock_(lock) {
    __atomic_fetch_add(&waiting_writers(lock_), 1, __ATOMIC_SEQ_CST);
  }
  ~writer_mark() {
    if (__atomic_fetch_sub(&waiting_writers(lock_), 1, __ATOMIC_SEQ_CST) == 1)
      threads::wake_at(&lock_, threads::everybody, reader_bit, true);
  }
  writer_mark(const writer_mark&) = delete;
  writer_mark& operator=(const writer_mark&) = delete;

 private:
  pthread_rwlock_t& lock_;
};

template <class Try>
int lock_at(pthread_rwlock_t& lock, std::uint32_t bit, threads::deadline until,
            Try try_lock) noexcept {
  if (__atomic_load_n(&lock.__data.__cur_writer, __ATOMIC_RELAXED) == own_number()) return EDEADLK;
  int result = EBUSY;
  auto is_taken = [&]() noexcept {
    result = try_lock(lock);
    return result == EBUSY;
  };
  for (;;) {
    const lot_result how = threads::wait_at(&lock, {.until = until, .bits = bit}, is_taken);
    if (result != EBUSY || !is_taken()) return result;
    if (how == lot_result::timed_out) return ETIMEDOUT;
  }
}

int read_until(pthread_rwlock_t& lock, threads::deadline until) noexcept {
  return lock_at(lock, reader_bit, until, &try_read);
}

int write_until(pthread_rwlock_t& lock, threads::deadline until) noexcept {
  const writer_mark waits(lock);
  return lock_at(lock, writer_bit, until,
                 [](pthread_rwlock_t& l) noexcept { return real::pthread_rwlock_trywrlock(&l); });
}

/// The time limit is looked at only by those who have to wait.
template <class Wait>
int wait_until(clockid_t clock, const timespec* when, Wait wait) noexcept {
  if (!has_valid_nanoseconds(when)) return EINVAL;
  return wait(deadline_at(clock, when));
}

void rejoin_on_fiber() noexcept {
  if (threads::thread_fiber* const self = parking_fiber(family::sync)) rejoin(*self);
}

int read_until(pthread_rwlock_t& lock, clockid_t clock, const timespec* when) noexcept {
  rejoin_on_fiber();
  const int result = try_read(lock);
  if (result != EBUSY) return result;
  return wait_until(clock, when,
                    [&](threads::deadline until) noexcept { return read_until(lock, until); });
}

int write_until(pthread_rwlock_t& lock, clockid_t clock, const timespec* when) noexcept {
  rejoin_on_fiber();
  const int result = real::pthread_rwlock_trywrlock(&lock);
  if (result != EBUSY) return result;
  return wait_until(clock, when,
                    [&](threads::deadline until) noexcept { return write_until(lock, until); });
}

}  // namespace

/// hook: locks: parks the fiber while a writer holds the lock
COIR_HOOK int pthread_rwlock_rdlock(pthread_rwlock_t* lock) noexcept {
  if (!is_on()) return real::pthread_rwlock_rdlock(lock);
  if (is_shared(*lock)) return wait_in_kernel([=] { return real::pthread_rwlock_rdlock(lock); });
  rejoin_on_fiber();
  const int result = try_read(*lock);
  return result == EBUSY ? read_until(*lock, detail::never) : result;
}
COIR_HOOK int __pthread_rwlock_rdlock(pthread_rwlock_t*) noexcept __attribute__((nonnull(1)))
COIR_HOOK_ALIAS(pthread_rwlock_rdlock);

/// hook: locks: parks the fiber while others hold the lock
COIR_HOOK int pthread_rwlock_wrlock(pthread_rwlock_t* lock) noexcept {
  if (!is_on()) return real::pthread_rwlock_wrlock(lock);
  if (is_shared(*lock)) return wait_in_kernel([=] { return real::pthread_rwlock_wrlock(lock); });
  rejoin_on_fiber();
  const int result = real::pthread_rwlock_trywrlock(lock);
  return result == EBUSY ? write_until(*lock, detail::never) : result;
}
COIR_HOOK int __pthread_rwlock_wrlock(pthread_rwlock_t*) noexcept __attribute__((nonnull(1)))
COIR_HOOK_ALIAS(pthread_rwlock_wrlock);

/// hook: locks: lets fibers go first that wait to write, where the lock prefers writers
COIR_HOOK int pthread_rwlock_tryrdlock(pthread_rwlock_t* lock) noexcept {
  if (!is_on() || is_shared(*lock)) return real::pthread_rwlock_tryrdlock(lock);
  return try_read(*lock);
}
COIR_HOOK int __pthread_rwlock_tryrdlock(pthread_rwlock_t*) noexcept __attribute__((nonnull(1)))
COIR_HOOK_ALIAS(pthread_rwlock_tryrdlock);

/// hook: locks: as pthread_rwlock_rdlock, until a time on the wall clock
COIR_HOOK int pthread_rwlock_timedrdlock(pthread_rwlock_t* lock, const timespec* when) noexcept {
  if (!is_on()) return real::pthread_rwlock_timedrdlock(lock, when);
  if (is_shared(*lock))
    return wait_in_kernel([=] { return real::pthread_rwlock_timedrdlock(lock, when); });
  return read_until(*lock, CLOCK_REALTIME, when);
}

/// hook: locks: as pthread_rwlock_wrlock, until a time on the wall clock
COIR_HOOK int pthread_rwlock_timedwrlock(pthread_rwlock_t* lock, const timespec* when) noexcept {
  if (!is_on()) return real::pthread_rwlock_timedwrlock(lock, when);
  if (is_shared(*lock))
    return wait_in_kernel([=] { return real::pthread_rwlock_timedwrlock(lock, when); });
  return write_until(*lock, CLOCK_REALTIME, when);
}

/// hook: locks: as pthread_rwlock_rdlock, until a time on a clock
COIR_HOOK int pthread_rwlock_clockrdlock(pthread_rwlock_t* lock, clockid_t clock,
                                         const timespec* when) noexcept {
  if (!is_on()) return real::pthread_rwlock_clockrdlock(lock, clock, when);
  if (is_shared(*lock))
    return wait_in_kernel([=] { return real::pthread_rwlock_clockrdlock(lock, clock, when); });
  if (!is_clock_for_waits(clock)) return EINVAL;
  return read_until(*lock, clock, when);
}

/// hook: locks: as pthread_rwlock_wrlock, until a time on a clock
COIR_HOOK int pthread_rwlock_clockwrlock(pthread_rwlock_t* lock, clockid_t clock,
                                         const timespec* when) noexcept {
  if (!is_on()) return real::pthread_rwlock_clockwrlock(lock, clock, when);
  if (is_shared(*lock))
    return wait_in_kernel([=] { return real::pthread_rwlock_clockwrlock(lock, clock, when); });
  if (!is_clock_for_waits(clock)) return EINVAL;
  return write_until(*lock, clock, when);
}

/// hook: locks: wakes the readers and a writer that wait
COIR_HOOK int pthread_rwlock_unlock(pthread_rwlock_t* lock) noexcept {
  const int result = real::pthread_rwlock_unlock(lock);
  if (is_on()) {
    threads::wake_at(lock, 1, writer_bit, true);
    threads::wake_at(lock, threads::everybody, reader_bit, true);
  }
  return result;
}
COIR_HOOK int __pthread_rwlock_unlock(pthread_rwlock_t*) noexcept __attribute__((nonnull(1)))
COIR_HOOK_ALIAS(pthread_rwlock_unlock);
