/// What coir throws besides std::system_error and std::logic_error.
#pragma once

#include <coir/export.hpp>

#include <exception>

namespace coir {

/// Thrown into a fiber that is killed, at the call in which it waits. Like gevent's GreenletExit it
/// is no std::exception, so that a handler for ordinary errors does not swallow a kill. A fiber
/// that lets it pass ends successfully and nothing is reported. It never crosses a C frame: a
/// hooked call fails with ECANCELED instead, and the exception is thrown at the next coir call that
/// waits.
class COIR_API fiber_exit {
 public:
  /// Says "fiber killed". Any thread; never parks.
  const char* what() const noexcept { return "fiber killed"; }
};

/// Thrown by a wait for a value whose time ran out: fiber<T>::get_for. Waits that have a plain
/// answer for it (join_for, try_lock_for, get_for of a queue) return that instead and never throw
/// it.
class COIR_API timeout : public std::exception {
 public:
  /// Says "timed out". Any thread; never parks.
  const char* what() const noexcept override { return "timed out"; }
};

}  // namespace coir
