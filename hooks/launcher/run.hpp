/// `coir run`.
#pragma once

#include <string>
#include <vector>

namespace coir::launcher {

/// Becomes the program `command[0]` with the hooks preloaded and, when `backend` is not empty,
/// COIR_BACKEND set. Returns only when that cannot be: says why on stderr and returns the exit
/// status, 127 when there is no such program, else 126. `command` must not be empty.
int run(const std::vector<std::string>& command, const std::string& backend);

}  // namespace coir::launcher
