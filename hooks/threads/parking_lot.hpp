/// Waiting for an address: what locks, conditions and futexes stand on. Fibers and native threads
/// wait in the same lists.
///
/// The protocol against lost wakes: a waiter links itself, tests its condition again, and only then
/// sleeps; a waker changes the condition first and looks into the list after. Nothing at the
/// address is touched, so the object may be gone by then.
#pragma once

#include "hooks/threads/scheduler.hpp"

#include <cstdint>

namespace coir::threads {

/// How a wait in the lot ended.
enum class lot_result {
  woken,    ///< by wake_at
  refused,  ///< the test said that there is nothing to wait for
  timed_out,
  cancelled,  ///< see wake_cause
  signalled,  ///< see wake_cause
};

struct lot_options {
  deadline until = coir::detail::never;
  std::uint32_t bits = ~std::uint32_t{0};  ///< wake_at with none of them passes this waiter by
  bool is_cancellable = false;
};

/// Waits at `address` until woken. `must_wait(argument)` is called once the waiter is linked: false
/// ends the wait at once. Fibers park; other kernel threads block. While a wake and a time limit
/// meet, the wake wins.
lot_result wait_at(const void* address, const lot_options& options,
                   bool (*must_wait)(void*) noexcept, void* argument) noexcept;

template <class Test>
lot_result wait_at(const void* address, const lot_options& options, Test must_wait) noexcept {
  return wait_at(
      address, options, [](void* test) noexcept -> bool { return (*static_cast<Test*>(test))(); },
      &must_wait);
}

inline constexpr int everybody = 1 << 30;

/// Wakes up to `how_many` that wait at `address` for any of `bits`, oldest first; how many. The
/// change that they wait for comes before; `is_ordered` says that it was an atomic
/// read-modify-write, so that no fence is needed on x86. Any kernel thread.
int wake_at(const void* address, int how_many, std::uint32_t bits = ~std::uint32_t{0},
            bool is_ordered = false) noexcept;

/// Lets a native thread, which has been cancelled, look at that in the cancellable wait that it may
/// be in. Looks at all that wait.
void interrupt_native_wait(std::uintptr_t thread_pointer) noexcept;

/// Moves up to `how_many` waiters from one address to another without waking them; how many.
int requeue(const void* from, const void* to, int how_many) noexcept;

/// For the start: true when the memory can be wiped on fork.
bool start_parking_lot() noexcept;

}  // namespace coir::threads
