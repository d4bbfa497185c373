/// The steps by which work and sleepers find each other, in their order; the head of crew.hpp says
/// why it is that one. They are templates so that a test can take them in all interleavings.
#pragma once

#include <cstddef>
#include <cstdint>

namespace coir::detail {

/// One sleep behind an inbox, by its consumer: sets the mark, rests if `begin_rest()` agrees, calls
/// `wait(may_wait)` in any case, takes the mark away, and ends the rest if there was one. Counts in
/// `wakes_due` if somebody else has taken the mark. False when it could not wait.
template <class Inbox, class BeginRest, class Wait, class EndRest>
bool sleep_behind(Inbox& door, std::uint64_t& wakes_due, BeginRest begin_rest, Wait wait,
                  EndRest end_rest) noexcept {
  if (!door.begin_sleep()) {
    wait(false);
    return false;
  }
  const bool may_wait = begin_rest();
  wait(may_wait);
  if (!door.end_sleep()) ++wakes_due;
  if (may_wait) end_rest();
  return may_wait;
}

/// Enters the idle set, behind its mark of sleep; false, and out of the set, when there is work
/// after all.
template <class IdleSet, class HasWork>
bool enter_idle(IdleSet& idle, std::size_t number, HasWork has_work) noexcept {
  idle.add(number);
  if (!has_work()) return true;
  idle.remove(number);
  return false;
}

/// Work has been added: wakes one of the first `count` numbers that sleeps, if any does.
template <class IdleSet, class Rouse>
void wake_one(IdleSet& idle, std::size_t count, Rouse rouse) noexcept {
  for (;;) {
    const int number = idle.take_one(count);
    if (number < 0 || rouse(static_cast<std::size_t>(number))) return;
  }
}

}  // namespace coir::detail
