/// The descriptors of the runtime itself: the epoll and the eventfd that wakes its poller. They lie
/// at the top of the descriptor table, and the hooks of close() and its kin do as if they were not
/// there.
#pragma once

namespace coir::threads {

// Far above the usual limit of descriptors, which is what counts; address space only.
inline constexpr int descriptors_max = 1 << 20;

/// These survive a fork, for the child to close.
struct runtime_descriptors {
  int epoll = -1;
  int kick = -1;  ///< see poller_kick.hpp
};
extern runtime_descriptors own_descriptors;

/// Moves `fd` out of the program's way; the new number. An error stays what it is.
int move_up(int fd) noexcept;

/// In the child of a fork: closes what was inherited.
void close_inherited_descriptors() noexcept;
/// True for the runtime's own.
bool is_runtime_descriptor(int fd) noexcept;
/// The lowest of them from `first` to `last`; -1 when there is none.
int lowest_runtime_descriptor(unsigned first, unsigned last) noexcept;

}  // namespace coir::threads
