/// How code knows that it runs in the child of a vfork, which borrows our memory; see
/// hooks/preload/vfork.cpp.
#pragma once

#include "hooks/threads/thread_fiber.hpp"

namespace coir::threads {

/// What vfork makes of handler_depth at least: more than handlers can be inside each other.
inline constexpr int vfork_depth = 1 << 16;

/// True in the child of a vfork until it has a program of its own. Code that keeps records for the
/// process (handlers, masks, signals on their way) then makes plain calls: the records are the
/// parent's.
inline bool is_vfork_child(const thread_fiber& self) noexcept {
  return self.handler_depth >= vfork_depth;
}

}  // namespace coir::threads
