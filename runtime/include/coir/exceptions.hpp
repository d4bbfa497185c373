/// What coir throws besides std::system_error and std::logic_error itself.
#pragma once

#include <coir/export.hpp>

#include <cstdint>
#include <exception>
#include <stdexcept>
#include <string>

namespace coir {

/// Thrown into a fiber that is killed, at the call in which it waits. Like gevent's GreenletExit it
/// is no std::exception, so that a handler for ordinary errors does not swallow a kill. A fiber
/// that lets it pass ends successfully and nothing is reported. It never crosses a C frame: hooked
/// calls fail with ECANCELED instead, and the exception is thrown at the next coir call that waits.
class COIR_API fiber_exit {
 public:
  /// Says "fiber killed". Any thread; never parks.
  const char* what() const noexcept { return "fiber killed"; }
};

/// Thrown into a fiber when the time of a timeout_scope is up, at the call in which it waits, and
/// by a wait for a value whose own time ran out: fiber<T>::get_for. Waits that have a plain answer
/// for the latter (join_for, try_lock_for, get_for of a queue) return that instead.
class COIR_API timeout : public std::exception {
 public:
  /// The time-out of a single wait, which no scope owns. Never parks.
  timeout() noexcept = default;
  /// The time-out of the scope with this number. Never parks.
  explicit timeout(std::uint64_t scope) noexcept : scope_(scope) {}
  ~timeout() override;

  /// Says "timed out". Any thread; never parks.
  const char* what() const noexcept override;
  /// The number of the scope whose time is up; 0 when it was a single wait's. See
  /// timeout_scope::owns. Any thread; never parks.
  std::uint64_t scope() const noexcept { return scope_; }

 private:
  std::uint64_t scope_ = 0;
};

/// Thrown into the main fiber, at the call in which it waits, when nothing can ever end that wait:
/// every fiber of the thread waits for another one, no timer is armed, and the process has no other
/// thread. gevent's LoopExit. A program with threads of its own is never told, since any of them
/// might wake a fiber.
class COIR_API deadlock : public std::logic_error {
 public:
  /// `graph` says who waits for what. Throws std::bad_alloc.
  explicit deadlock(const std::string& graph) : std::logic_error(graph) {}
  ~deadlock() override;
};

/// Thrown by a put into a queue that has been shut down, and by a get or peek when such a queue has
/// no item left: Python's queue.ShutDown. It ends those who wait as well.
class COIR_API shut_down : public std::exception {
 public:
  /// Says "queue shut down". Any thread; never parks.
  const char* what() const noexcept override { return "queue shut down"; }
};

/// Thrown by a send on a closed channel, also by one that waits when the channel is closed, and by
/// closing it a second time: what panics in Go, since the program has lost track of who closes.
class COIR_API channel_closed : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

/// Thrown where a fiber was to get a place in a full pool and not to wait for it, or not so long:
/// gevent's PoolFull.
class COIR_API pool_full : public std::exception {
 public:
  ~pool_full() override;

  /// Says "pool full". Any thread; never parks.
  const char* what() const noexcept override;
};

}  // namespace coir
