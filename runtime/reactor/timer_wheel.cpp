#include "runtime/reactor/timer_wheel.hpp"

#include <algorithm>

namespace coir::detail {

void timer_wheel::arm(timer_node& node, deadline when) noexcept {
  node.when = when;
  ++armed_;
  link(node);
}

void timer_wheel::disarm(timer_node& node) noexcept {
  if (!node.is_armed()) return;
  unlink(node);
  --armed_;
}

deadline timer_wheel::next_due() const noexcept {
  if (empty()) return never;
  return static_cast<deadline>(next_slot().tick << tick_shift);
}

timer_node* timer_wheel::expire_one(deadline now) noexcept {
  const std::uint64_t now_tick = static_cast<std::uint64_t>(now) >> tick_shift;
  while (!empty()) {
    const due_slot due = next_slot();
    if (due.tick > now_tick) break;
    tick_ = due.tick;
    if (due.level == 0) {
      timer_node* first = slots_[due.slot];
      disarm(*first);
      return first;
    }
    cascade(due);
  }
  // No slot between here and there holds a node, so that levels stay right
  tick_ = std::max(tick_, now_tick);
  return nullptr;
}

/// The lowest occupied level holds the earliest deadlines: all below share its higher bits with the
/// current tick.
timer_wheel::due_slot timer_wheel::next_slot() const noexcept {
  int level = 0;
  while (!occupied_[level]) ++level;
  const auto slot = static_cast<std::size_t>(std::countr_zero(occupied_[level]));
  const int above = level_bits * (level + 1);
  const std::uint64_t base = tick_ >> above << above;
  return {level, slot, base | std::uint64_t{slot} << (level_bits * level)};
}

void timer_wheel::link(timer_node& node) noexcept {
  const auto when = static_cast<std::uint64_t>(node.when);
  const std::uint64_t tick = std::max((when >> tick_shift) + 1, tick_);
  const std::uint64_t difference = tick ^ tick_;
  const int level = difference ? (63 - std::countl_zero(difference)) / level_bits : 0;
  const std::size_t slot = tick >> (level_bits * level) & (slots_per_level - 1);
  node.slot = static_cast<std::uint16_t>(level * slots_per_level + slot);
  occupied_[level] |= std::uint64_t{1} << slot;
  // Circular: the head's prev is the last, so that nodes of one tick fire in the order in which
  // they were armed.
  timer_node*& head = slots_[node.slot];
  if (head) {
    node.prev = head->prev;
    node.next = head;
    head->prev->next = &node;
    head->prev = &node;
  } else {
    node.prev = node.next = head = &node;
  }
}

void timer_wheel::unlink(timer_node& node) noexcept {
  timer_node*& head = slots_[node.slot];
  if (node.next == &node) {
    head = nullptr;
    occupied_[node.slot / slots_per_level] &= ~(std::uint64_t{1} << node.slot % slots_per_level);
  } else {
    node.prev->next = node.next;
    node.next->prev = node.prev;
    if (head == &node) head = node.next;
  }
  node.slot = timer_node::disarmed;
}

/// Spreads a slot whose first tick is the current one over the levels below.
void timer_wheel::cascade(due_slot due) noexcept {
  const std::size_t index = due.level * slots_per_level + due.slot;
  while (timer_node* first = slots_[index]) {
    unlink(*first);
    link(*first);
  }
}

}  // namespace coir::detail
