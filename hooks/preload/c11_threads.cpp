// The threads of C11, by the hooks of POSIX threads: glibc's own functions go past those. What
// neither waits nor wakes needs no hook, thread-specific storage among it.
#include "hooks/preload/preload.hpp"

#include <cstdint>

#include <pthread.h>
#include <threads.h>

using namespace coir;
using namespace coir::hooks;

namespace {

int c11_result(int error) noexcept {
  switch (error) {
    case 0:
      return thrd_success;
    case ENOMEM:
      return thrd_nomem;
    case ETIMEDOUT:
      return thrd_timedout;
    case EBUSY:
      return thrd_busy;
    default:
      return thrd_error;
  }
}

// glibc defines these types over the same memory.
static_assert(sizeof(mtx_t) == sizeof(pthread_mutex_t) && sizeof(cnd_t) == sizeof(pthread_cond_t) &&
              sizeof(once_flag) == sizeof(pthread_once_t));
pthread_mutex_t* posix(mtx_t* mutex) noexcept { return reinterpret_cast<pthread_mutex_t*>(mutex); }
pthread_cond_t* posix(cnd_t* condition) noexcept {
  return reinterpret_cast<pthread_cond_t*>(condition);
}

}  // namespace

// An int is returned in the register of a pointer, whose upper half thrd_join drops: so the
// function needs none around it, and no memory for one.
/// hook: threads: as pthread_create
COIR_HOOK int thrd_create(thrd_t* thread, thrd_start_t function, void* argument) {
  auto* const posix_function =
      reinterpret_cast<void* (*)(void*)>(reinterpret_cast<void*>(function));
  return c11_result(::pthread_create(thread, nullptr, posix_function, argument));
}

/// hook: threads: as pthread_join
COIR_HOOK int thrd_join(thrd_t thread, int* result) {
  void* value = nullptr;
  const int error = ::pthread_join(thread, &value);
  if (result) *result = static_cast<int>(reinterpret_cast<std::intptr_t>(value));
  return c11_result(error);
}

/// hook: threads: as pthread_detach
COIR_HOOK int thrd_detach(thrd_t thread) { return c11_result(::pthread_detach(thread)); }

/// hook: threads: as pthread_exit
COIR_HOOK void thrd_exit(int result) {
  ::pthread_exit(reinterpret_cast<void*>(static_cast<std::intptr_t>(result)));
}

/// hook: threads: as sched_yield
COIR_HOOK void thrd_yield() { ::sched_yield(); }

/// hook: threads: as clock_nanosleep
COIR_HOOK int thrd_sleep(const timespec* length, timespec* left) {
  constexpr int was_interrupted = -1;
  constexpr int failed = -2;
  const int error = ::clock_nanosleep(CLOCK_REALTIME, 0, length, left);
  return error == 0 ? 0 : error == EINTR ? was_interrupted : failed;
}

/// hook: locks: as pthread_mutex_lock
COIR_HOOK int mtx_lock(mtx_t* mutex) { return c11_result(::pthread_mutex_lock(posix(mutex))); }

/// hook: locks: as pthread_mutex_timedlock
COIR_HOOK int mtx_timedlock(mtx_t* mutex, const timespec* when) {
  return c11_result(::pthread_mutex_timedlock(posix(mutex), when));
}

/// hook: locks: as pthread_mutex_trylock
COIR_HOOK int mtx_trylock(mtx_t* mutex) {
  return c11_result(::pthread_mutex_trylock(posix(mutex)));
}

/// hook: locks: as pthread_mutex_unlock
COIR_HOOK int mtx_unlock(mtx_t* mutex) { return c11_result(::pthread_mutex_unlock(posix(mutex))); }

/// hook: conditions: as pthread_cond_wait
COIR_HOOK int cnd_wait(cnd_t* condition, mtx_t* mutex) {
  return c11_result(::pthread_cond_wait(posix(condition), posix(mutex)));
}

/// hook: conditions: as pthread_cond_timedwait
COIR_HOOK int cnd_timedwait(cnd_t* condition, mtx_t* mutex, const timespec* when) {
  return c11_result(::pthread_cond_timedwait(posix(condition), posix(mutex), when));
}

/// hook: conditions: as pthread_cond_signal
COIR_HOOK int cnd_signal(cnd_t* condition) {
  return c11_result(::pthread_cond_signal(posix(condition)));
}

/// hook: conditions: as pthread_cond_broadcast
COIR_HOOK int cnd_broadcast(cnd_t* condition) {
  return c11_result(::pthread_cond_broadcast(posix(condition)));
}

/// hook: locks: as pthread_once
COIR_HOOK void call_once(once_flag* flag, void (*routine)(void)) {
  ::pthread_once(reinterpret_cast<pthread_once_t*>(flag), routine);
}
