/// What the launcher knows about libc's functions.
#pragma once

#include <string_view>

namespace coir::launcher {

/// The family of a hooked function, as docs/hooks.md has it; "others" for one that this launcher
/// has never heard of.
std::string_view family_of(std::string_view hooked) noexcept;

/// What an import means that coir does not hook.
enum class import_kind {
  harmless,
  may_block,      ///< may make its kernel thread wait; the monitor then lets another one carry on
  makes_threads,  ///< may make a thread of which coir does not know
};

/// What calling the function of that name means where it is not hooked.
import_kind kind_of(std::string_view name) noexcept;

}  // namespace coir::launcher
