/// Words for system calls and descriptors, in reports. Any thread.
#pragma once

#include "runtime/kernel/thread_state.hpp"

#include <string>

namespace coir::kernel {

/// `read(4): pipe:[1234]`: the call by its name, and what the descriptor is that it works on.
/// Throws std::bad_alloc.
std::string words_for(const call_in_progress& call);

/// What stands behind a descriptor: `pipe:[1234]`, `eventfd`, `file /tmp/x`,
/// `TCP socket 127.0.0.1:80 to 127.0.0.1:4711`. Throws std::bad_alloc.
std::string words_for_descriptor(int fd);

}  // namespace coir::kernel
