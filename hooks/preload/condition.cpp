// Conditions. libc's own wait unlocks the mutex behind the hooks, so that a fiber which waits for
// that mutex would sleep on: once threads are fibers every thread, native ones too, waits at the
// condition's address in the parking lot. libc's own signal is sent as well, for those who began to
// wait before. Conditions that processes share stay libc's, waited for without a token.
//
// A wait that a signal handler interrupts ends as a wake without a cause, which POSIX allows.

#include "hooks/preload/waiting.hpp"
#include "hooks/threads/parking_lot.hpp"

#include <new>

COIR_DEFINE_REAL(pthread_cond_wait);
COIR_DEFINE_REAL(pthread_cond_timedwait);
COIR_DEFINE_REAL(pthread_cond_clockwait);
COIR_DEFINE_REAL(pthread_cond_signal);
COIR_DEFINE_REAL(pthread_cond_broadcast);

using namespace coir;
using namespace coir::hooks;
using threads::lot_result;

namespace {

// Bits of glibc's __wrefs.
constexpr unsigned is_shared_bit = 1;
constexpr unsigned is_monotonic_bit = 2;

// Whoever signals has held the mutex since the waiter was linked, or the waiter saw the change:
// that orders the two, as libc's own signal takes it for granted.
constexpr std::uint32_t all_bits = ~std::uint32_t{0};

bool is_on() noexcept { return threads::sched->is_on.load(std::memory_order_relaxed); }

bool is_shared(const pthread_cond_t& condition) noexcept {
  return (__atomic_load_n(&condition.__data.__wrefs, __ATOMIC_RELAXED) & is_shared_bit) != 0;
}

clockid_t clock_of(const pthread_cond_t& condition) noexcept {
  const unsigned bits = __atomic_load_n(&condition.__data.__wrefs, __ATOMIC_RELAXED);
  return bits & is_monotonic_bit ? CLOCK_MONOTONIC : CLOCK_REALTIME;
}

int wait_until(pthread_cond_t& condition, pthread_mutex_t& mutex, threads::deadline until) {
  if (!parking_fiber(family::sync)) ::pthread_testcancel();
  int error = 0;
  auto unlock = [&]() noexcept {
    error = ::pthread_mutex_unlock(&mutex);
    return error == 0;
  };
  const lot_result how =
      threads::wait_at(&condition, {.until = until, .is_cancellable = true}, unlock);
  if (error != 0) {
    if (how == lot_result::woken) threads::wake_at(&condition, 1);
    return error;
  }
  error = ::pthread_mutex_lock(&mutex);
  if (how == lot_result::cancelled) ::pthread_testcancel();
  if (error != 0) return error;
  return how == lot_result::timed_out ? ETIMEDOUT : 0;
}

}  // namespace

/// hook: conditions: parks the fiber; also on native threads
COIR_HOOK int pthread_cond_wait(pthread_cond_t* condition, pthread_mutex_t* mutex) {
  if (!is_on()) return real::pthread_cond_wait(condition, mutex);
  if (is_shared(*condition))
    return wait_in_kernel([&] { return real::pthread_cond_wait(condition, mutex); });
  return wait_until(*condition, *mutex, detail::never);
}

/// hook: conditions: as pthread_cond_wait, until a time on the clock of the condition
COIR_HOOK int pthread_cond_timedwait(pthread_cond_t* condition, pthread_mutex_t* mutex,
                                     const timespec* when) {
  if (!is_on()) return real::pthread_cond_timedwait(condition, mutex, when);
  if (!has_valid_nanoseconds(when)) return EINVAL;
  if (is_shared(*condition))
    return wait_in_kernel([&] { return real::pthread_cond_timedwait(condition, mutex, when); });
  return wait_until(*condition, *mutex, deadline_at(clock_of(*condition), when));
}

/// hook: conditions: as pthread_cond_wait, until a time on a clock
COIR_HOOK int pthread_cond_clockwait(pthread_cond_t* condition, pthread_mutex_t* mutex,
                                     clockid_t clock, const timespec* when) {
  if (!is_on()) return real::pthread_cond_clockwait(condition, mutex, clock, when);
  if (!has_valid_nanoseconds(when) || !is_clock_for_waits(clock)) return EINVAL;
  if (is_shared(*condition))
    return wait_in_kernel(
        [&] { return real::pthread_cond_clockwait(condition, mutex, clock, when); });
  return wait_until(*condition, *mutex, deadline_at(clock, when));
}

/// hook: conditions: wakes one that waits
COIR_HOOK int pthread_cond_signal(pthread_cond_t* condition) noexcept {
  const int result = real::pthread_cond_signal(condition);
  if (is_on()) threads::wake_at(condition, 1, all_bits, true);
  return result;
}

/// hook: conditions: wakes all that wait
COIR_HOOK int pthread_cond_broadcast(pthread_cond_t* condition) noexcept {
  const int result = real::pthread_cond_broadcast(condition);
  if (is_on()) threads::wake_at(condition, threads::everybody, all_bits, true);
  return result;
}
