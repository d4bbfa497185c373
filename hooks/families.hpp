/// The families of hooks, which an operator can switch off one by one: COIR_HOOKS=-dns,-file.
#pragma once

#include <atomic>

namespace coir::hooks {

enum class family : unsigned { thread, sync, io, file, dns, process, signal, stdio, aio };

/// A bit for each family that is off. Written once, by a constructor.
extern std::atomic<unsigned> families_off;

/// True when calls of the family are to go straight to libc. Any thread.
inline bool is_off(family f) noexcept {
  return (families_off.load(std::memory_order_relaxed) >> static_cast<unsigned>(f) & 1) != 0;
}

}  // namespace coir::hooks
