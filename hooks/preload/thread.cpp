// Threads. Registrations that glibc acts on (keys, atfork handlers) are not hooked: libc's own
// tables are read at the end of a thread.
#include "hooks/threads/thread.hpp"
#include "hooks/preload/preload.hpp"
#include "hooks/threads/counters.hpp"
#include "hooks/threads/parking_lot.hpp"
#include "hooks/threads/signals.hpp"

#include <pthread.h>
#include <signal.h>

COIR_DEFINE_REAL(pthread_create);
COIR_DEFINE_REAL(pthread_join);
COIR_DEFINE_REAL(pthread_timedjoin_np);
COIR_DEFINE_REAL(pthread_clockjoin_np);
COIR_DEFINE_REAL(pthread_tryjoin_np);
COIR_DEFINE_REAL(pthread_detach);
COIR_DEFINE_REAL(pthread_exit);
COIR_DEFINE_REAL(pthread_cancel);
COIR_DEFINE_REAL(pthread_getattr_np);
COIR_DEFINE_REAL(pthread_testcancel);

using namespace coir;
using namespace coir::hooks;

namespace {

int finish_join(int error) {
  if (error == ECANCELED) ::pthread_testcancel();
  return error;
}

/// The fiber that a call on a handle is about; null: libc's own function is to be called.
threads::thread_fiber* target_of(pthread_t handle) noexcept { return threads::find_thread(handle); }

}  // namespace

/// hook: threads: makes a fiber, or a kernel thread when the caller is one
COIR_HOOK int pthread_create(pthread_t* handle, const pthread_attr_t* attributes,
                             void* (*function)(void*), void* argument) noexcept {
  if (!threads::sched->is_on.load(std::memory_order_relaxed) && !is_off(family::thread))
    if (threads::start(real::pthread_create.get())) note_memory_keys();
  if (!threads::current()) {
    threads::count(threads::counter::native_threads);
    return real::pthread_create(handle, attributes, function, argument);
  }
  return threads::create(handle, attributes, function, argument);
}

/// hook: threads: parks until the thread has ended
COIR_HOOK int pthread_join(pthread_t handle, void** result) {
  threads::thread_fiber* const thread = target_of(handle);
  if (thread) return finish_join(threads::join(*thread, result, detail::never));
  if (!parking_fiber()) return real::pthread_join(handle, result);
  const threads::region blocked;
  return real::pthread_join(handle, result);
}

/// hook: threads: the same with a time limit
COIR_HOOK int pthread_timedjoin_np(pthread_t handle, void** result, const timespec* limit) {
  threads::thread_fiber* const thread = target_of(handle);
  if (!thread) return real::pthread_timedjoin_np(handle, result, limit);
  const threads::deadline until = deadline_at(CLOCK_REALTIME, limit);
  return finish_join(threads::join(*thread, result, until == 0 ? 1 : until));
}

/// hook: threads: the same with a time limit on a clock
COIR_HOOK int pthread_clockjoin_np(pthread_t handle, void** result, clockid_t clock,
                                   const timespec* limit) {
  threads::thread_fiber* const thread = target_of(handle);
  if (!thread) return real::pthread_clockjoin_np(handle, result, clock, limit);
  if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC) return EINVAL;
  const threads::deadline until = deadline_at(clock, limit);
  return finish_join(threads::join(*thread, result, until == 0 ? 1 : until));
}

/// hook: threads: joins a thread that has ended
COIR_HOOK int pthread_tryjoin_np(pthread_t handle, void** result) noexcept {
  threads::thread_fiber* const thread = target_of(handle);
  if (!thread) return real::pthread_tryjoin_np(handle, result);
  return threads::join(*thread, result, 0);
}

/// hook: threads: lets a thread end without a join
COIR_HOOK int pthread_detach(pthread_t handle) noexcept {
  threads::thread_fiber* const thread = target_of(handle);
  return thread ? threads::detach(*thread) : real::pthread_detach(handle);
}

/// hook: threads: ends the fiber, by unwinding; the main thread waits for the others
COIR_HOOK void pthread_exit(void* result) {
  threads::thread_fiber* const self = threads::current();
  if (self == &threads::main_thread) {
    self->result = result;
    threads::exit_main();
  }
  if (self) {
    self->result = result;
    self->has_called_exit = true;
  }
  real::pthread_exit(result);
  __builtin_unreachable();
}

/// hook: threads: asks a thread to end at a cancellation point; wakes it there
COIR_HOOK int pthread_cancel(pthread_t handle) {
  threads::thread_fiber* const thread = target_of(handle);
  const int error = real::pthread_cancel(handle);
  if (thread) {
    threads::interrupt_for_cancellation(*thread);
    return 0;
  }
  if (error == 0 && threads::sched->is_on.load(std::memory_order_relaxed))
    threads::interrupt_native_wait(handle);
  return error;
}

/// hook: threads: ends a thread that was cancelled; the main thread waits for the others
COIR_HOOK void pthread_testcancel() {
  threads::thread_fiber* const self = threads::current();
  if (self == &threads::main_thread && threads::is_cancelled(*self)) {
    self->result = PTHREAD_CANCELED;
    threads::exit_main();
  }
  real::pthread_testcancel();
}

/// hook: threads: the stack of a fiber
COIR_HOOK int pthread_getattr_np(pthread_t handle, pthread_attr_t* attributes) noexcept {
  threads::thread_fiber* const thread = target_of(handle);
  if (!thread || !thread->memory.start) return real::pthread_getattr_np(handle, attributes);
  int error = ::pthread_attr_init(attributes);
  if (error == 0)
    error = ::pthread_attr_setstack(attributes, thread->memory.stack, thread->memory.stack_bytes);
  const int ending = thread->ending.load(std::memory_order_relaxed);
  if (error == 0 && (ending & threads::is_detached))
    ::pthread_attr_setdetachstate(attributes, PTHREAD_CREATE_DETACHED);
  ::pthread_attr_setguardsize(attributes, thread->guard_size);
  return error;
}
