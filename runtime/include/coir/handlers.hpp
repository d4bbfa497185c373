/// What a program may install for the whole process: a handler of errors that nobody caught, and a
/// hook that sees every spawn.
#pragma once

#include <coir/export.hpp>

#include <cstdint>
#include <exception>
#include <functional>
#include <string>

namespace coir {

/// An exception that left a fiber's function or a callback.
struct unhandled_error {
  std::string fiber;         ///< the name of the fiber
  std::uint64_t id = 0;      ///< its number
  bool is_callback = false;  ///< thrown by a callback of that fiber, not by its function
  std::exception_ptr error;  ///< never null
};

/// Gets what nobody caught.
using error_handler = std::function<void(const unhandled_error&)>;

/// Installs `handler` for all fibers, in place of the line on stderr, and returns the one that was
/// in force; an empty one stands for that line. It is called on the fiber, before its joiners wake,
/// perhaps by several threads at a time, and may park. What it throws is reported on stderr with
/// the error it was called for, which get() still rethrows. gevent's Hub.handle_error. Any thread;
/// never parks.
COIR_API error_handler set_error_handler(error_handler handler);

/// A fiber that is about to begin.
struct spawned_fiber {
  std::string name;            ///< as given, or "fiber"
  std::uint64_t id = 0;        ///< its number, as fiber<T>::id
  const void* site = nullptr;  ///< an address in the code that spawned it
};

/// Sees each spawn.
using spawn_hook = std::function<void(const spawned_fiber&)>;

/// Installs `hook`, to be called exactly once for each fiber that is spawned, at once or for later,
/// by the spawner and before the fiber runs; returns the one that was in force. An empty one ends
/// that. It must not park; what it throws comes out of spawn, and the fiber does not run. gevent's
/// Greenlet.add_spawn_callback. Any thread; never parks.
COIR_API spawn_hook set_spawn_hook(spawn_hook hook);

}  // namespace coir
