/// What the environment says about settings.
#pragma once

#include <coir/export.hpp>

#include <cstdint>

namespace coir::kernel {

/// The text of a variable; null when it is not set or empty. Valid until the environment changes.
COIR_API const char* text_said(const char* variable) noexcept;

/// The decimal number that a variable says; `otherwise` when it says nothing. What is no number
/// from `least` to `most` is reported, and `otherwise` used.
std::uint64_t number_said(const char* variable, std::uint64_t least, std::uint64_t most,
                          std::uint64_t otherwise) noexcept;

}  // namespace coir::kernel
