/// Values that belong to a fiber: of fiber_local objects, and inherited ones. Passive data; what is
/// in them is known to runtime/task only.
#pragma once

#include <cstdint>

namespace coir::detail {

struct local_slot;
struct inherited_values;

/// In the record of each fiber, and of each thread that is no worker. All null until the first
/// value. Touched by the owner only.
struct fiber_values {
  local_slot* locals = nullptr;           ///< an array, by the index of the fiber_local object
  std::uint32_t local_count = 0;          ///< how long it is
  inherited_values* inherited = nullptr;  ///< shared, counted
  /// Destroys what there is; null when there is nothing. Set with the first value.
  void (*destroy)(fiber_values&) noexcept = nullptr;
};

/// Destroys all values; on the fiber that they belong to, at its end. Destructors may park.
inline void end_values(fiber_values& v) noexcept {
  if (v.destroy) v.destroy(v);
}

/// Those of the calling thread while it is no worker: a thread does not become one for a variable.
/// Its main fiber takes them over when it does. Not inlined: see worker::current_or_null.
[[gnu::noinline]] fiber_values& thread_values() noexcept;

}  // namespace coir::detail
