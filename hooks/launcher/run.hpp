/// `coir run`.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace coir::launcher {

/// Variables that the options of `coir run` set, and their values, which are valid.
using settings = std::vector<std::pair<std::string, std::string>>;

/// Becomes the program `command[0]` with `chosen` in its environment and the hooks preloaded,
/// unless COIR_MODE is "off". Returns only when that cannot be: says why on stderr and returns the
/// exit status, 127 when there is no such program, else 126. `command` must not be empty.
int run(const std::vector<std::string>& command, const settings& chosen);

}  // namespace coir::launcher
