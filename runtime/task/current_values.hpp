/// The values of whoever is calling, and what becomes of them when a fiber begins and ends.
#pragma once

#include "runtime/fiber/fiber_values.hpp"
#include "runtime/sched/worker.hpp"

#include <cstdint>
#include <vector>

namespace coir::detail {

/// Those of the running fiber, or of the calling thread when it is no worker.
inline fiber_values& current_values() noexcept {
  worker* const w = worker::current_or_null();
  return w ? w->running->record->values : thread_values();
}

/// To be called before the calling fiber gets a value: sees to it that they end with it.
void prepare_values(fiber_values& own) noexcept;

/// One more owner of `shared`, which may be null, and one less; the last one frees it.
inherited_values* retain_inherited(inherited_values* shared) noexcept;
void release_inherited(inherited_values* shared) noexcept;

/// Gives a fiber that has not begun what its maker has inherited or set.
void give_inherited(inherited_values* shared, fiber_values& child) noexcept;
inline void inherit_values(const fiber_values& maker, fiber_values& child) noexcept {
  if (maker.inherited) [[unlikely]]
    give_inherited(retain_inherited(maker.inherited), child);
}

/// Destroys all values of fiber_local objects that are in `own`.
void destroy_locals(fiber_values& own) noexcept;
/// Frees the table. What is in it even now is left to the fiber_local objects.
void forget_locals(fiber_values& own) noexcept;

/// Numbers from 0 on, each given out again once it has come back. Guarded by its owner's lock.
class index_pool {
 public:
  /// Throws std::bad_alloc.
  std::uint32_t take() {
    if (idle_.empty()) {
      idle_.reserve(used_ + std::size_t{1});  // so that give_back cannot fail
      return used_++;
    }
    const std::uint32_t index = idle_.back();
    idle_.pop_back();
    return index;
  }
  void give_back(std::uint32_t index) noexcept { idle_.push_back(index); }

 private:
  std::vector<std::uint32_t> idle_;
  std::uint32_t used_ = 0;
};

}  // namespace coir::detail
