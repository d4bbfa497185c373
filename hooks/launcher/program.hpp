/// What the launcher finds out about a program before it starts it.
#pragma once

#include <optional>
#include <string>

namespace coir::launcher {

/// What shells exit with when they cannot start a program.
inline constexpr int exit_cannot_run = 126;
inline constexpr int exit_not_found = 127;

/// Why a program is not started, and the exit status that says so.
struct refusal {
  std::string reason;
  int exit_status;
};

/// The file that `name` means: itself when it has a slash, else the first executable of that name
/// in PATH. Empty when there is none.
std::string find_program(const std::string& name);

/// Why the hooks would not reach the program in `path`, or why it cannot run at all; nothing when
/// all is well. A script is judged by its interpreter.
std::optional<refusal> find_refusal(const std::string& path);

}  // namespace coir::launcher
