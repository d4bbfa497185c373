/// Where the program makes calls that block a kernel thread: the stacks that the report shows.
/// Nothing is noted unless a report is wanted.
#pragma once

namespace coir::threads {

enum class site_kind : int {
  blocked,  ///< a call that is known to block, made without a token
  taken,    ///< the first call into the runtime after the monitor took the token away
};

/// Notes the stack of the caller, a fiber.
void note_call_site(site_kind kind) noexcept;
/// Prints the most frequent ones.
void print_call_sites(int fd) noexcept;

/// For the start: true when the memory can be wiped on fork.
bool start_call_sites() noexcept;

}  // namespace coir::threads
