/// What the launcher finds out about a program before it starts it.
#pragma once

#include "hooks/launcher/elf_file.hpp"
#include "hooks/launcher/variables.hpp"

#include <optional>
#include <string>
#include <vector>

namespace coir::launcher {

/// What shells exit with when they cannot start a program.
inline constexpr int exit_cannot_run = 126;
inline constexpr int exit_not_found = 127;

/// Why a program is not started, and the exit status that says so.
struct refusal {
  std::string reason;
  int exit_status;
};

/// What a file turned out to be.
struct program {
  std::string path;                  ///< as it was asked for
  std::vector<std::string> scripts;  ///< the scripts on the way to `binary`, `path` the first
  std::string binary;                ///< the ELF file that is going to run; empty when refused
  std::optional<elf_file> file;      ///< `binary`; nothing when it may be run but not read
  std::optional<refusal> why_not;    ///< why it cannot run, or not as `mode` has it
};

/// The file that `name` means: itself when it has a slash, else the first executable of that name
/// in PATH. Empty when there is none.
std::string find_program(const std::string& name);

/// Looks at the program that `name` means. Refused is what cannot run at all, and what the hooks
/// would not reach, or would break, in that mode. A script is judged by its interpreter.
program judge(const std::string& name, thread_mode mode);

}  // namespace coir::launcher
