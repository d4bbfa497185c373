/// Deadlines of one worker: a hierarchical timing wheel (Varghese and Lauck). Arming and disarming
/// take a few instructions, allocate nothing and make no system call.
///
/// A tick is 65.5 us. Level 0 has a slot for each of the next ticks up to 63, level 1 one for each
/// 64 ticks, and so on: eight levels reach past every 64-bit time. A deadline sits at the level of
/// the highest group of six bits in which its tick differs from the current one, and moves down
/// when its slot's first tick comes. It never fires early, and at most one tick late.
#pragma once

#include <coir/detail/timer_node.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>

namespace coir::detail {

/// Belongs to one worker; only its thread may call.
class timer_wheel {
 public:
  bool empty() const noexcept { return armed_ == 0; }

  /// Links `node`, which must be disarmed, to fire once `when` has passed.
  void arm(timer_node& node, deadline when) noexcept;
  /// Unlinks `node`; does nothing when it is not armed.
  void disarm(timer_node& node) noexcept;

  /// Forgets the time, while none is armed: the next may be armed for an earlier one.
  void begin_anew() noexcept {
    if (empty()) tick_ = 0;
  }

  /// No node fires before this time; `never` when none is armed.
  deadline next_due() const noexcept;

  /// Takes out one node whose deadline lies at or before `now`; null when there is none left. To be
  /// called until then.
  timer_node* expire_one(deadline now) noexcept;

 private:
  static constexpr int tick_shift = 16;
  static constexpr int level_bits = 6;
  static constexpr int levels = 8;
  static constexpr std::size_t slots_per_level = std::size_t{1} << level_bits;

  struct due_slot {
    int level;
    std::size_t slot;
    std::uint64_t tick;  ///< its first
  };

  due_slot next_slot() const noexcept;
  void link(timer_node& node) noexcept;
  void unlink(timer_node& node) noexcept;
  void cascade(due_slot due) noexcept;

  std::uint64_t tick_ = 0;  ///< all slots before it are empty
  std::size_t armed_ = 0;
  std::uint64_t occupied_[levels] = {};  ///< a bit for each slot that is not empty
  timer_node* slots_[levels * slots_per_level] = {};
};

}  // namespace coir::detail
