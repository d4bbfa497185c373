/// The C interface of coir, for C and for other languages.
///
/// Functions return a negative errno where they can fail. Besides what each says:
///   -ECANCELED  the calling fiber is being killed
///   -ETIMEDOUT  the time given was up, or that of a scope of C++ code around the caller
/// No C++ exception ever comes out. A fiber that is being killed gets -ECANCELED from this and
/// every further call that would wait: it should clean up and return. Unless said otherwise any
/// thread may call; the first call makes the thread a worker, as in C++. A time in nanoseconds that
/// is negative means: without limit.
#ifndef COIR_COIR_H
#define COIR_COIR_H

#include <poll.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#define COIR_C_NOEXCEPT noexcept
#else
#define COIR_C_NOEXCEPT
#endif

#define COIR_C_API __attribute__((visibility("default")))

/// Handle of a fiber, counted: each must be released once. Releasing it does not end the fiber.
typedef struct coir_fiber coir_fiber;
/// A FIFO of pointers between fibers, of any threads.
typedef struct coir_queue coir_queue;

/// How a fiber is made. All zero is a sensible default.
typedef struct coir_attributes {
  const char* name;    ///< shown in reports, copied; null: "fiber"
  size_t stack_bytes;  ///< virtual size; 0: the default
  int run_first;       ///< not 0: begin at once, in the middle of coir_spawn
  int64_t delay_ns;    ///< above 0: begin so much later
} coir_attributes;

/// Runs `function(argument)` in a new fiber of the calling thread, after the caller parks.
/// `attributes` may be null. Returns a handle, or null and errno (ENOMEM). Never parks.
COIR_C_API coir_fiber* coir_spawn(void (*function)(void*), void* argument,
                                  const coir_attributes* attributes) COIR_C_NOEXCEPT;
/// One more handle of the same fiber. Never parks.
COIR_C_API coir_fiber* coir_retain(coir_fiber* fiber) COIR_C_NOEXCEPT;
/// Gives a handle back; null is allowed. Never parks.
COIR_C_API void coir_release(coir_fiber* fiber) COIR_C_NOEXCEPT;
/// Parks until the fiber has ended. 0, -ETIMEDOUT, -ECANCELED, or -EDEADLK when it is the caller.
COIR_C_API int coir_join(coir_fiber* fiber, int64_t timeout_ns) COIR_C_NOEXCEPT;
/// Kills the fiber: its wait, and every later one, fails with -ECANCELED; one that has not begun
/// never runs. Does not wait for its end. 0 or -ENOMEM. Never parks.
COIR_C_API int coir_kill(coir_fiber* fiber) COIR_C_NOEXCEPT;
/// 1 once the fiber has ended, else 0. Never parks.
COIR_C_API int coir_is_done(const coir_fiber* fiber) COIR_C_NOEXCEPT;
/// The number of the fiber as reports show it. Never parks.
COIR_C_API uint64_t coir_id(const coir_fiber* fiber) COIR_C_NOEXCEPT;

/// Lets the fibers that are ready run first. 0 or -ECANCELED.
COIR_C_API int coir_yield(void) COIR_C_NOEXCEPT;
/// Parks for at least so long; 0 or less is a yield. 0, -ECANCELED or -ETIMEDOUT.
COIR_C_API int coir_sleep_ns(int64_t length_ns) COIR_C_NOEXCEPT;
/// Parks until `fd` has one of `events` (POLLIN, POLLOUT, …) or an error. Returns what it has, as
/// poll(2) would; -ETIMEDOUT, -ECANCELED, or -EBADF when it is closed or was never open.
COIR_C_API int coir_wait_fd(int fd, short events, int64_t timeout_ns) COIR_C_NOEXCEPT;
/// poll(2): parks until one of `count` descriptors has something; returns how many have, 0 when the
/// time is up, -EBADF when one is closed through coir meanwhile, -ETIMEDOUT for that of a scope
/// around the caller, -ECANCELED, -ENOMEM.
COIR_C_API int coir_poll(struct pollfd* fds, size_t count, int64_t timeout_ns) COIR_C_NOEXCEPT;
/// Wakes whoever waits for `fd` with -EBADF, then closes it; 0 or -errno. Never parks.
COIR_C_API int coir_close(int fd) COIR_C_NOEXCEPT;
/// Runs `work(argument)` on another thread, for what would block this one, and parks until it has
/// returned. A kill waits until then. 0 or -EAGAIN when no thread can be started.
COIR_C_API int coir_offload(void (*work)(void*), void* argument) COIR_C_NOEXCEPT;

/// A queue that holds at most `capacity` pointers; SIZE_MAX: no bound; 0: a put waits for a get.
/// Null and errno (ENOMEM) when there is no memory. Never parks.
COIR_C_API coir_queue* coir_queue_new(size_t capacity) COIR_C_NOEXCEPT;
/// Frees the queue, in which nobody may wait. What it holds is the caller's. Never parks.
COIR_C_API void coir_queue_free(coir_queue* queue) COIR_C_NOEXCEPT;
/// Appends a pointer; parks while the queue is full. 0, -ETIMEDOUT, -ECANCELED, -ENOMEM, or -EPIPE
/// once the queue was shut down. A time of 0 never parks.
COIR_C_API int coir_queue_put(coir_queue* queue, void* item, int64_t timeout_ns) COIR_C_NOEXCEPT;
/// Takes the oldest pointer; parks while there is none. 0, -ETIMEDOUT, -ECANCELED, or -EPIPE once
/// the queue was shut down and is empty. A time of 0 never parks.
COIR_C_API int coir_queue_get(coir_queue* queue, void** item, int64_t timeout_ns) COIR_C_NOEXCEPT;
/// How many pointers are in the queue now. Never parks.
COIR_C_API size_t coir_queue_size(coir_queue* queue) COIR_C_NOEXCEPT;
/// Ends the queue: puts fail with -EPIPE, gets once it is empty; who waits is woken. Never parks.
COIR_C_API void coir_queue_shutdown(coir_queue* queue) COIR_C_NOEXCEPT;

/// A descriptor that becomes readable when fibers of the calling thread may have something to do,
/// for an event loop that is not coir's, which polls it, level-triggered, and calls coir_run_once.
/// It belongs to the thread. -EMFILE and the like. Never parks.
COIR_C_API int coir_pollable_fd(void) COIR_C_NOEXCEPT;
/// Runs fibers of the calling thread until none is ready, or those that always are have had some
/// turns. Writes to `limit_ns` how long the loop may wait for coir_pollable_fd() until the next
/// call; -1: without limit. 0, or -EDEADLK when a spawned fiber calls, or the thread is one of a
/// set of workers, or takes part in a replay. Never parks.
COIR_C_API int coir_run_once(int64_t* limit_ns) COIR_C_NOEXCEPT;

/// Writes a line for each fiber of the calling thread to `fd`: what it does, and what it waits for.
/// 0 or -errno. Blocks as write(2) does.
COIR_C_API int coir_dump(int fd) COIR_C_NOEXCEPT;
/// "io_uring" or "epoll"; null and errno when neither can be had. Never parks.
COIR_C_API const char* coir_backend(void) COIR_C_NOEXCEPT;

#ifdef __cplusplus
}
#endif

#endif
