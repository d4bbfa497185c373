/// What ends a wait from outside: a kill, or a deadline over a scope.
#pragma once

namespace coir::detail {

struct control_block;

/// Something to be thrown into a fiber at its next interruptible wait. While it is pending it is
/// linked into the fiber's list, in the order in which they came. Guarded by the worker's thread.
struct interruption {
  interruption* next = nullptr;
  interruption* prev = nullptr;
  bool is_pending = false;  ///< in the list of its fiber: not thrown yet
  /// A hooked call of C code has failed with `error_number` because of it
  bool is_told = false;
  int error_number = 0;  ///< what hooked calls fail with meanwhile
  /// Throws it. Called on the fiber, once out of its list
  void (*raise)(interruption&) = nullptr;
};

}  // namespace coir::detail
