/// `coir config`.
#pragma once

#include <ostream>

namespace coir::launcher {

/// Prints every environment variable that coir reads: its value, where that came from, and what it
/// means. Warns on `warnings` about COIR_ variables that coir does not know, and about values that
/// it would not take.
void print_configuration(std::ostream& out, std::ostream& warnings);

}  // namespace coir::launcher
