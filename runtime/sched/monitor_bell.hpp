/// How workers tell the monitor of blocked workers, which sleeps while all of them do, that one
/// goes on.
///
///     the monitor:  set monitor_waits; look whether a worker is awake; sleep while it is set
///     a worker:     end its sleep clock, or enter the registry; look at monitor_waits
///
/// Each does its first step before its second, all sequentially consistent or under the registry's
/// lock: so one of them sees the other.
#pragma once

#include <atomic>
#include <cstdint>

namespace coir::detail {

/// A futex word. Not 0 while the monitor wants to be woken; also before the first worker, and in
/// the child of a fork, where it may have to be started.
extern std::atomic<std::uint32_t> monitor_waits;

/// Implemented in runtime/diag. Any thread.
void wake_monitor() noexcept;

inline void tell_monitor() noexcept {
  if (monitor_waits.load(std::memory_order_seq_cst) != 0) [[unlikely]]
    wake_monitor();
}

}  // namespace coir::detail
