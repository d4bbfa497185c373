// Mutexes. They stay libc's own, so that fibers and native threads share them: a fiber tries the
// real lock, and where it is taken it waits at the mutex's address in the parking lot. Every unlock
// is the real one, which wakes a native thread that sleeps in the kernel, and then wakes one fiber.
//
// Robust, priority and process-shared mutexes are waited for in the kernel, without a token: others
// than the hooks wake those who wait for them.
//
// Runs from inside malloc, before constructors and in signal handlers.
#include "hooks/preload/waiting.hpp"
#include "hooks/threads/parking_lot.hpp"
#include "hooks/threads/settings.hpp"

using namespace coir;
using namespace coir::hooks;
using threads::lot_result;
using threads::thread_fiber;

namespace {

// For the look-up of these very functions, which may allocate, and so lock: then nothing else runs
// that would use the same mutex.
int pass(pthread_mutex_t*) noexcept { return 0; }

}  // namespace

namespace coir::hooks::real {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wignored-attributes"
constinit real_function<decltype(::pthread_mutex_lock)> pthread_mutex_lock{"pthread_mutex_lock",
                                                                           &pass};
constinit real_function<decltype(::pthread_mutex_trylock)> pthread_mutex_trylock{
    "pthread_mutex_trylock", &pass};
constinit real_function<decltype(::pthread_mutex_unlock)> pthread_mutex_unlock{
    "pthread_mutex_unlock", &pass};
#pragma GCC diagnostic pop
}  // namespace coir::hooks::real
COIR_DEFINE_REAL(pthread_mutex_timedlock);
COIR_DEFINE_REAL(pthread_mutex_clocklock);
COIR_DEFINE_REAL(pthread_mutex_init);

namespace {

[[gnu::constructor]] void look_up_mutexes() noexcept {
  real::pthread_mutex_lock.get();
  real::pthread_mutex_trylock.get();
  real::pthread_mutex_unlock.get();
}

// Bits of glibc's __kind.
constexpr int type_bits = 3;
constexpr int kernel_bits = 16 | 32 | 64 | 128;  // robust, inheriting, protecting, process-shared

bool is_robust(const pthread_mutex_t& mutex) noexcept {
  constexpr int robust_bit = 16;
  return (mutex.__data.__kind & robust_bit) != 0;
}

bool is_waited_for_in_kernel(const pthread_mutex_t& mutex) noexcept {
  return (mutex.__data.__kind & kernel_bits) != 0;
}

/// A lock is mostly held for less time than a park takes. Only where the holder can run meanwhile.
bool spin_for(pthread_mutex_t& mutex, int& result) noexcept {
  constexpr int spins_max = 30;  // about 1 us
  if (threads::sched->tokens == 1) return false;
  for (int i = 0; i < spins_max; ++i) {
    threads::relax();
    if (__atomic_load_n(&mutex.__data.__lock, __ATOMIC_RELAXED) != 0) continue;
    result = real::pthread_mutex_trylock(&mutex);
    if (result != EBUSY) return true;
  }
  return false;
}

/// For a mutex that was taken at the first try.
[[gnu::noinline]] int wait_for(pthread_mutex_t& mutex, threads::deadline until) noexcept {
  if ((mutex.__data.__kind & type_bits) == PTHREAD_MUTEX_ERRORCHECK &&
      mutex.__data.__owner == own_number())
    return EDEADLK;
  int result = EBUSY;
  if (spin_for(mutex, result)) return result;
  auto is_taken = [&]() noexcept {
    result = real::pthread_mutex_trylock(&mutex);
    return result == EBUSY;
  };
  for (;;) {
    const lot_result how = threads::wait_at(&mutex, {.until = until}, is_taken);
    if (result != EBUSY || !is_taken()) return result;
    if (how == lot_result::timed_out) return ETIMEDOUT;
  }
}

[[gnu::noinline]] int lock_taken(pthread_mutex_t& mutex) noexcept {
  if (!is_waited_for_in_kernel(mutex)) return wait_for(mutex, detail::never);
  return in_region([&] { return real::pthread_mutex_lock(&mutex); });
}

int lock_until(pthread_mutex_t& mutex, clockid_t clock, const timespec* when) noexcept {
  threads::rejoin_if_stuck();
  const int result = real::pthread_mutex_trylock(&mutex);
  if (result != EBUSY) return result;
  if (is_waited_for_in_kernel(mutex))
    return in_region([&] { return real::pthread_mutex_clocklock(&mutex, clock, when); });
  if (!has_valid_nanoseconds(when)) return EINVAL;
  return wait_for(mutex, deadline_at(clock, when));
}

/// The kernel knows no fiber as an owner of a lock, so priorities are not inherited among them.
bool has_priority_protocol(const pthread_mutexattr_t& attributes) noexcept {
  int protocol = PTHREAD_PRIO_NONE;
  ::pthread_mutexattr_getprotocol(&attributes, &protocol);
  return protocol != PTHREAD_PRIO_NONE;
}

}  // namespace

/// hook: locks: makes a mutex, without a priority protocol
COIR_HOOK int pthread_mutex_init(pthread_mutex_t* mutex,
                                 const pthread_mutexattr_t* attributes) noexcept {
  if (!attributes || !has_priority_protocol(*attributes) || !threads::settings().makes_fibers)
    return real::pthread_mutex_init(mutex, attributes);
  pthread_mutexattr_t without = *attributes;
  ::pthread_mutexattr_setprotocol(&without, PTHREAD_PRIO_NONE);
  return real::pthread_mutex_init(mutex, &without);
}
COIR_HOOK int __pthread_mutex_init(pthread_mutex_t*, const pthread_mutexattr_t*) noexcept
    __attribute__((nonnull(1))) COIR_HOOK_ALIAS(pthread_mutex_init);

/// hook: locks: parks the fiber while another holds the mutex
COIR_HOOK int pthread_mutex_lock(pthread_mutex_t* mutex) noexcept {
  thread_fiber* const self = parking_fiber(family::sync);
  if (!self) return real::pthread_mutex_lock(mutex);
  rejoin(*self);
  // libc's try takes a robust mutex that is lost for good, and does not give it back.
  if (__builtin_expect(is_robust(*mutex), false)) return lock_taken(*mutex);
  const int result = real::pthread_mutex_trylock(mutex);
  return __builtin_expect(result != EBUSY, true) ? result : lock_taken(*mutex);
}
COIR_HOOK int __pthread_mutex_lock(pthread_mutex_t*) noexcept __attribute__((nonnull(1)))
COIR_HOOK_ALIAS(pthread_mutex_lock);

/// hook: locks: gives way now and then while the mutex is held, for those who try in a loop
COIR_HOOK int pthread_mutex_trylock(pthread_mutex_t* mutex) noexcept {
  const int result = real::pthread_mutex_trylock(mutex);
  if (result == EBUSY && parking_fiber(family::sync)) threads::count_call();
  return result;
}
COIR_HOOK int __pthread_mutex_trylock(pthread_mutex_t*) noexcept __attribute__((nonnull(1)))
COIR_HOOK_ALIAS(pthread_mutex_trylock);

/// hook: locks: as pthread_mutex_lock, until a time on the wall clock
COIR_HOOK int pthread_mutex_timedlock(pthread_mutex_t* mutex, const timespec* when) noexcept {
  if (!parking_fiber(family::sync)) return real::pthread_mutex_timedlock(mutex, when);
  return lock_until(*mutex, CLOCK_REALTIME, when);
}

/// hook: locks: as pthread_mutex_lock, until a time on a clock
COIR_HOOK int pthread_mutex_clocklock(pthread_mutex_t* mutex, clockid_t clock,
                                      const timespec* when) noexcept {
  if (!parking_fiber(family::sync)) return real::pthread_mutex_clocklock(mutex, clock, when);
  if (!is_clock_for_waits(clock)) return EINVAL;
  return lock_until(*mutex, clock, when);
}

/// hook: locks: wakes a fiber that waits for the mutex
COIR_HOOK int pthread_mutex_unlock(pthread_mutex_t* mutex) noexcept {
  const int result = real::pthread_mutex_unlock(mutex);
  if (threads::sched->is_on.load(std::memory_order_relaxed))
    threads::wake_at(mutex, 1, ~std::uint32_t{0}, true);
  return result;
}
COIR_HOOK int __pthread_mutex_unlock(pthread_mutex_t*) noexcept __attribute__((nonnull(1)))
COIR_HOOK_ALIAS(pthread_mutex_unlock);
