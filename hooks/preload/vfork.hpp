/// How code knows that it runs in the child of a vfork; see vfork.cpp.
#pragma once

#include "hooks/threads/scheduler.hpp"

namespace coir::hooks {

/// What vfork adds to handler_depth: more than handlers can be inside each other.
inline constexpr int vfork_depth = 1 << 16;

/// True in the child of a vfork until it has a program of its own: hooks that keep records for the
/// process (handlers, masks) then make plain calls, for the records are the parent's.
inline bool is_vfork_child(const threads::thread_fiber& self) noexcept {
  return self.handler_depth >= vfork_depth;
}

}  // namespace coir::hooks
