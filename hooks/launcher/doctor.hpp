/// `coir doctor`.
#pragma once

#include "hooks/launcher/variables.hpp"

#include <ostream>
#include <string>

namespace coir::launcher {

/// Prints what will work, and what not and why, when `coir run` starts the program that `name`
/// means in that mode. Returns the exit status: 0 when all will, 1 when it works with remarks, 126
/// or 127 when `coir run` would refuse it. The program itself is not started; its dynamic linker
/// is, to list its libraries.
int examine(const std::string& name, thread_mode mode, std::ostream& out);

}  // namespace coir::launcher
