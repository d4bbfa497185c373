/// What latch and wait_group are made of.
#pragma once

#include <coir/detail/observer.hpp>
#include <coir/export.hpp>

#include <cstddef>

namespace coir::detail {

/// A number that is never negative, and those who wait for it to be zero. Any fiber or thread may
/// call any member. May be destroyed once every wait has returned, even if the add that ended them
/// has not.
class COIR_API countdown {
 public:
  /// Starts at `count`, which must not be negative.
  constexpr explicit countdown(std::ptrdiff_t count) noexcept : count_(count) {}
  countdown(const countdown&) = delete;
  countdown& operator=(const countdown&) = delete;

  /// Changes the number and wakes everybody when it is zero then. False, and nothing changed, when
  /// it would be negative or too large to count. Never parks.
  bool add(std::ptrdiff_t change) noexcept;
  /// The number now. Never parks.
  std::ptrdiff_t count() const noexcept;
  /// Parks until the number is zero or the deadline has passed; true when it was zero. Throws
  /// fiber_exit when the fiber is killed meanwhile.
  bool wait(deadline until, wait_reason why) const;

  /// For wait_any and its kin: ready at zero.
  wait_source as_wait_source() const noexcept {
    return {
        &lock_, &waiters_,
        [](const void* self) noexcept { return static_cast<const countdown*>(self)->count_ == 0; },
        this};
  }

 private:
  mutable short_lock lock_;
  mutable wait_queue waiters_;  ///< guarded by lock_; empty while count_ is zero
  std::ptrdiff_t count_;        ///< guarded by lock_
};

}  // namespace coir::detail
