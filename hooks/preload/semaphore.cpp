// Semaphores: libc's own, tried, and waited for in the parking lot as mutexes are. Those that
// processes share are waited for in the kernel, without a token.
//
// sem_post may be called in a signal handler: the parking lot's locks keep handlers out.
#include "hooks/preload/waiting.hpp"
#include "hooks/threads/parking_lot.hpp"

#include <semaphore.h>

COIR_DEFINE_REAL(sem_wait);
COIR_DEFINE_REAL(sem_timedwait);
COIR_DEFINE_REAL(sem_clockwait);
COIR_DEFINE_REAL(sem_trywait);
COIR_DEFINE_REAL(sem_post);

using namespace coir;
using namespace coir::hooks;
using threads::lot_result;
using threads::thread_fiber;

namespace {

/// As glibc lays it out on 64 bits.
struct libc_semaphore {
  std::uint64_t value_and_waiters;
  int sharing;  ///< not 0 where processes share it: made so, or opened by name
};
static_assert(sizeof(libc_semaphore) <= sizeof(sem_t));

bool is_shared(const sem_t& semaphore) noexcept {
  return reinterpret_cast<const libc_semaphore&>(semaphore).sharing != 0;
}

/// Leaves errno alone.
bool take(sem_t& semaphore) noexcept {
  const int saved_errno = errno;
  if (real::sem_trywait(&semaphore) == 0) return true;
  errno = saved_errno;
  return false;
}

/// As the kernel restarts a wait only where it has no time limit.
bool is_interrupted(const thread_fiber& self, threads::deadline until) noexcept {
  return until != detail::never || !self.restarts_calls;
}

/// For a semaphore of which there was none at the first try. 0 or -errno.
int wait_for(thread_fiber& self, sem_t& semaphore, threads::deadline until) {
  bool has_taken = false;
  auto is_empty = [&]() noexcept {
    has_taken = take(semaphore);
    return !has_taken;
  };
  for (;;) {
    const lot_result how =
        threads::wait_at(&semaphore, {.until = until, .is_cancellable = true}, is_empty);
    if (has_taken) {
      // It had what it wanted before the wake came, which is another's.
      if (how == lot_result::woken) threads::wake_at(&semaphore, 1);
      return 0;
    }
    if (how == lot_result::cancelled) ::pthread_testcancel();
    if (!is_empty()) return 0;
    if (how == lot_result::timed_out) return -ETIMEDOUT;
    if (how == lot_result::signalled && is_interrupted(self, until)) return -EINTR;
  }
}

template <class Wait>
int wait_shared(sem_t& semaphore, Wait wait) {
  return take(semaphore) ? 0 : in_region(wait);
}

int wait_on_fiber(thread_fiber& self, sem_t& semaphore, clockid_t clock, const timespec* when) {
  rejoin(self);
  ::pthread_testcancel();
  if (take(semaphore)) return 0;
  return finish(wait_for(self, semaphore, deadline_at(clock, when)));
}

}  // namespace

/// hook: semaphores: parks the fiber while there is none to take
COIR_HOOK int sem_wait(sem_t* semaphore) {
  thread_fiber* const self = parking_fiber(family::sync);
  if (!self) return real::sem_wait(semaphore);
  if (is_shared(*semaphore))
    return wait_shared(*semaphore, [=] { return real::sem_wait(semaphore); });
  return wait_on_fiber(*self, *semaphore, CLOCK_MONOTONIC, nullptr);
}

/// hook: semaphores: as sem_wait, until a time on the wall clock
COIR_HOOK int sem_timedwait(sem_t* semaphore, const timespec* when) {
  thread_fiber* const self = parking_fiber(family::sync);
  if (!self) return real::sem_timedwait(semaphore, when);
  if (!has_valid_nanoseconds(when)) return finish(-EINVAL);
  if (is_shared(*semaphore))
    return wait_shared(*semaphore, [=] { return real::sem_timedwait(semaphore, when); });
  return wait_on_fiber(*self, *semaphore, CLOCK_REALTIME, when);
}

/// hook: semaphores: as sem_wait, until a time on a clock
COIR_HOOK int sem_clockwait(sem_t* semaphore, clockid_t clock, const timespec* when) {
  thread_fiber* const self = parking_fiber(family::sync);
  if (!self) return real::sem_clockwait(semaphore, clock, when);
  if (!is_clock_for_waits(clock) || !has_valid_nanoseconds(when)) return finish(-EINVAL);
  if (is_shared(*semaphore))
    return wait_shared(*semaphore, [=] { return real::sem_clockwait(semaphore, clock, when); });
  return wait_on_fiber(*self, *semaphore, clock, when);
}

/// hook: semaphores: gives way now and then while there is none, for those who try in a loop
COIR_HOOK int sem_trywait(sem_t* semaphore) noexcept {
  const int result = real::sem_trywait(semaphore);
  if (result != 0 && parking_fiber(family::sync)) {
    threads::count_call();
    finish(-EAGAIN);
  }
  return result;
}

/// hook: semaphores: wakes a fiber that waits
COIR_HOOK int sem_post(sem_t* semaphore) noexcept {
  const int result = real::sem_post(semaphore);
  if (result == 0 && threads::sched->is_on.load(std::memory_order_relaxed))
    threads::wake_at(semaphore, 1, ~std::uint32_t{0}, true);
  return result;
}
