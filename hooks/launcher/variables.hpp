/// The environment variables that coir reads: one table for `coir run`, which sets them, and for
/// `coir config`, which shows them.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace coir::launcher {

/// One COIR_ variable.
struct variable {
  const char* name;
  const char* default_value;
  const char* allowed;  ///< ends the sentence "...; it must be "
  bool (*is_valid)(std::string_view value);
  const char* meaning;
};

/// All of them.
std::span<const variable> all_variables() noexcept;

/// The entry for `name`; null when coir reads no such variable.
const variable* find_variable(std::string_view name) noexcept;

/// What is wrong with `value` for the variable `name`; empty when nothing is. An empty value counts
/// as unset, and coir knows the variable.
std::string fault_of(std::string_view name, std::string_view value);

/// What COIR_MODE makes of a program's threads.
enum class thread_mode {
  fiber,   ///< they become fibers
  thread,  ///< they stay the kernel's, and the hooks do as linked ones do
  off,     ///< nothing is preloaded
};

/// The mode that a valid value of COIR_MODE names; empty is the default.
thread_mode mode_of(std::string_view value) noexcept;

/// The families of hooks that can be switched off, as COIR_HOOKS spells them.
std::span<const std::string_view> switchable_families() noexcept;

}  // namespace coir::launcher
