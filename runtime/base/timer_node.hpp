/// What a timer wheel links: one armed deadline.
#pragma once

#include <coir/detail/clock.hpp>

#include <cstdint>

namespace coir::detail {

struct timer_node {
  static constexpr std::uint16_t disarmed = 0xffff;

  timer_node* next = nullptr;
  timer_node* prev = nullptr;
  deadline when = never;
  std::uint16_t slot = disarmed;  ///< the wheel's slot that links this node, or `disarmed`

  bool is_armed() const noexcept { return slot != disarmed; }
};

}  // namespace coir::detail
