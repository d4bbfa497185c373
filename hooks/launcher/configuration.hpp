/// `coir config`.
#pragma once

#include <ostream>

namespace coir::launcher {

/// Prints every environment variable that coir reads: its value, where that came from, and what it
/// means.
void print_configuration(std::ostream& out);

}  // namespace coir::launcher
