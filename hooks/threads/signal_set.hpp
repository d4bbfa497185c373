/// Sets of signals, as the kernel has them.
#pragma once

#include <csignal>
#include <cstdint>

namespace coir::threads {

using signal_set = std::uint64_t;
inline constexpr int signals_max = 64;
inline constexpr signal_set bit_of(int signal) noexcept { return signal_set{1} << (signal - 1); }

// Of libc itself, which wants them untouched: cancellation and setuid.
inline constexpr signal_set reserved_signals = bit_of(32) | bit_of(33);
inline constexpr signal_set unblockable_signals = bit_of(SIGKILL) | bit_of(SIGSTOP);

}  // namespace coir::threads
