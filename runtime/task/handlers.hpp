/// The calls of the handlers that a program has installed.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

namespace coir::detail {

/// Gives the exception being handled, which left the function of a fiber or a callback of it, to
/// the program's handler, or reports it on stderr. To be called inside a catch block.
void handle_error(const std::string& name, std::uint64_t id, bool is_callback) noexcept;

/// Whether the program has ever set a spawn hook; a look that races with the first may be late.
inline std::atomic<bool> has_spawn_hook{false};

/// Calls the program's spawn hook, if there is one; throws what that throws.
void announce_spawn(const std::string& name, std::uint64_t id, const void* site);

}  // namespace coir::detail
