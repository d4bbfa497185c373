/// What a timer wheel links: one armed deadline.
#pragma once

#include <coir/detail/clock.hpp>

#include <cstdint>

namespace coir::detail {

/// A deadline of one worker. Owned by whoever waits; guarded by the worker's thread.
struct timer_node {
  /// The `slot` of a node that no wheel links.
  static constexpr std::uint16_t disarmed = 0xffff;

  timer_node* next = nullptr;
  timer_node* prev = nullptr;
  deadline when = never;
  /// Called on the worker's thread, in its loop, once `when` has passed; null: ends the park of the
  /// fiber whose timer it is
  void (*expire)(timer_node&) noexcept = nullptr;
  std::uint16_t slot = disarmed;  ///< the wheel's slot that links this node, or `disarmed`

  /// True while a wheel links the node. Its worker's thread; never parks.
  bool is_armed() const noexcept { return slot != disarmed; }
};

}  // namespace coir::detail
