/// What is printed at exit of what the runtime of threads has counted.
#pragma once

namespace coir::threads {

/// Prints the counts to the descriptor. Any kernel thread.
void print_report(int fd) noexcept;

}  // namespace coir::threads
