/// Fibers in a program whose own event loop waits: GLib's, Asio's, libuv's, or one written by hand.
///
/// The loop watches one descriptor and calls one function; libuv's uv_backend_fd and uv_run have
/// the same parts.
///
///     pollfd coir_events{coir::pollable_fd(), POLLIN, 0};
///     while (!done) {
///       const auto limit = coir::run_once();        // fibers run in here, and nowhere else
///       wait_for(coir_events, own_events, limit);   // poll, epoll_wait, select, …
///       handle(own_events);                         // may spawn, put, set, notify
///     }
///
/// What handlers of the loop make ready runs at the next run_once(): it is called after them and
/// before the loop waits again, as a GSource's `prepare`, a uv_prepare_t, or between two calls of
/// io_context::run_one_for. They are on the main fiber and may also wait themselves, for a fiber's
/// result for instance; other fibers run meanwhile, while the loop stands still.
///
/// Under the hooks a poll, select or epoll_wait for this descriptor blocks the thread, as it must.
///
/// The other way round, a foreign loop in a fiber needs nothing of this. One that lets its wait be
/// replaced gets coir_poll of <coir/coir.h>, as GLib's g_main_context_set_poll_func; others wait
/// cooperatively under coir::hooks, as Asio does once its io_context has a timer or a socket.
#pragma once

#include <coir/detail/clock.hpp>
#include <coir/export.hpp>

namespace coir {

/// A descriptor that becomes readable when fibers of the calling thread may have something to do:
/// something they wait for has come, or another thread has woken one. Of timers it knows nothing;
/// they are in what run_once returns. To be polled for reading, level-triggered, by the calling
/// thread, between its calls of run_once; never to be read, and not to be closed: it belongs to
/// the thread's worker and ends with it. The child of a fork asks again. Makes the thread a worker
/// if it is none. Throws std::system_error when no descriptor is left. Never parks.
COIR_API int pollable_fd();

/// Runs fibers of the calling thread until none is ready, or those that always are have had some
/// turns, and returns how long the loop may wait for pollable_fd(): not at all (0), until the next
/// timer, or without limit (nanoseconds::max()). An early or needless call does no harm.
///
/// To be called by the main fiber, not by a spawned one. The thread may not belong to a set of
/// `workers`, nor take part in a replay. Throws std::logic_error for each of these, and
/// std::system_error when the thread cannot become a worker. Never parks: fibers that block the
/// thread keep the loop.
COIR_API std::chrono::nanoseconds run_once();

}  // namespace coir
