/// What of the machine matters to a program whose threads become fibers.
#pragma once

#include <string>
#include <vector>

namespace coir::launcher {

/// One thing that was looked at.
struct machine_fact {
  std::string text;
  bool is_as_it_should_be;
};

/// Descriptors, mappings, io_uring and the instruction that switches the thread pointer.
std::vector<machine_fact> look_at_machine();

}  // namespace coir::launcher
