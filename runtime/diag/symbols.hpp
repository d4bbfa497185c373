/// Addresses of code in words.
#pragma once

#include <string>

namespace coir::detail {

/// `name+0x12 (program+0x1234)`, or `program+0x1234` when the name is not known; names are those of
/// exported functions, demangled. With `is_return_address` the call before it is meant. Throws
/// std::bad_alloc.
std::string words_for_address(const void* address, bool is_return_address);

/// Where the program or library begins that holds an address; null when none does.
const void* module_of(const void* address) noexcept;

}  // namespace coir::detail
