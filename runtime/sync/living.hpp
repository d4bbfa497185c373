/// Waiters in the child of a fork. What waited in the parent is still linked in the queues there,
/// but never goes on: whoever hands something over must pass it by.
#pragma once

#include <coir/detail/wait_queue.hpp>

#include "runtime/sched/worker.hpp"

namespace coir::detail {

/// The first of `first` and those behind it in the queue that a fork has not left behind, taken out
/// like all before it; nullptr when there is none. `first` has been taken out already.
waiter* skip_abandoned(wait_queue& waiters, waiter* first) noexcept;

/// As wait_queue::take_one, but passes those by that a fork has left behind.
inline waiter* take_living(wait_queue& waiters) noexcept {
  waiter* const first = waiters.take_one();
  if (!first || fork_generation.load(std::memory_order_relaxed) == 0) [[likely]]
    return first;
  return skip_abandoned(waiters, first);
}

/// As wait_queue::front, but takes those out that a fork has left behind.
inline waiter* living_front(wait_queue& waiters) noexcept {
  while (waiter* const first = waiters.front()) {
    if (!is_abandoned(*first->fiber)) return first;
    waiters.take_one();
  }
  return nullptr;
}

}  // namespace coir::detail
