/// Fibers that hold their worker for too long, so that no other fiber of it can run.
#pragma once

#include <coir/detail/any_call.hpp>
#include <coir/detail/clock.hpp>
#include <coir/export.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace coir {

/// One time that a fiber held its worker for too long, as it was seen while it lasted.
struct COIR_API blocked_fiber {
  std::string name;                 ///< the fiber's; empty when it could not be read
  std::uint64_t id = 0;             ///< its number, as fiber<T>::id; main's is 0
  bool is_loop = false;             ///< no fiber runs: the worker's own loop does not come back
  const void* site = nullptr;       ///< an address in the code that spawned the fiber; null: none
  std::string spawned_at;           ///< that address in words
  std::string worker;               ///< the name of the worker's thread
  int thread_id = 0;                ///< the kernel's number of it
  int number = -1;                  ///< the worker's number in its set; -1: it is in none
  std::chrono::nanoseconds held{};  ///< for how long so far; a lower bound
  /// What the thread does: "in read(4): pipe:[1234]" or "on the processor, for 51 ms of that".
  std::string activity;
  /// The frames of the fiber, innermost first; empty when there was no way to get them.
  std::vector<std::string> stack;
  std::string no_stack_because;      ///< why `stack` is empty
  std::uint64_t fibers_behind = 0;   ///< other fibers of the worker, which cannot run meanwhile
  std::uint64_t fibers_waiting = 0;  ///< that have not begun: idle workers of the set take them
  std::uint64_t times = 0;           ///< how often it was seen at this place, this time included

  /// What the default handler prints: a line for each of the above, and for each frame. Throws
  /// std::bad_alloc. Never parks.
  std::string text() const;
};

/// A place in the program where fibers held their worker for too long.
struct blocking_place {
  std::vector<std::string> frames;   ///< the innermost ones outside libc and coir, as far as known
  std::string activity;              ///< of the first time
  std::uint64_t times = 0;           ///< how often
  std::chrono::nanoseconds total{};  ///< how long in all; what lasts still is not in it
  std::chrono::nanoseconds longest{};  ///< the longest of them
};

/// Gets what the monitor has seen.
using blocking_handler = detail::any_call<void(const blocked_fiber&)>;

/// watch_blocking in nanoseconds.
COIR_API void watch_blocking_for(std::chrono::nanoseconds limit, blocking_handler handler);

/// From now on a thread, the monitor, looks for fibers that hold their worker for longer than
/// `limit`, on all workers of the process; 0 ends that. COIR_MAX_BLOCKING_MS in the environment
/// does the same from the first worker on. gevent's monitoring thread and max_blocking_time.
///
/// `handler` is called for each hold that is seen, on the monitor's thread, one at a time. It must
/// not wait for a fiber of the blocked worker. What it throws is reported on stderr. Without one,
/// the first hold at each place is printed to stderr, and the totals at exit. When watch_blocking
/// returns, the handler that was in force before is not running and will not be called again.
///
/// A hold is seen if it lasts half as long again as `limit`; a shorter one perhaps. It is not
/// reported while no other fiber suffers: when the fiber is alone on its worker and none waits to
/// begin. Time in which the thread merely waits for a processor does not count. The stack is taken
/// by sending SIGURG to the thread, with SA_RESTART, once in each hold: sleeps and polls of the
/// blocked thread, which no flag restarts, may fail with EINTR. Where the thread blocks SIGURG, or
/// the program handles or ignores it, there is no stack.
///
/// Nothing is seen where `coir run` makes fibers of the program's threads, and never a worker that
/// takes part in a replay and waits for its turn.
///
/// Any thread; throws std::bad_alloc, and std::system_error when the thread cannot be started.
template <class Rep, class Period>
void watch_blocking(std::chrono::duration<Rep, Period> limit, blocking_handler handler = {}) {
  watch_blocking_for(std::chrono::ceil<std::chrono::nanoseconds>(limit), std::move(handler));
}

/// The places seen since the process began to watch, or since it was forked; the most costly
/// first. Any thread; never parks; throws std::bad_alloc.
COIR_API std::vector<blocking_place> blocking_places();

}  // namespace coir
