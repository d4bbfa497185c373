/// What is known of each descriptor number of the process: how often it was closed, and how many
/// operations wait on it.
///
/// The kernel reuses numbers at once. A wait remembers the generation that it began with; when it
/// differs at the end, the number means something else by now, and the wait fails with EBADF
/// instead of touching the newcomer.
#pragma once

#include <cstdint>

namespace coir::detail::fd_table {

/// How many times `fd` was closed through coir. Any thread.
std::uint32_t generation(int fd) noexcept;
/// Tells all waits on `fd` that its number is about to mean something else. Any thread.
void advance_generation(int fd) noexcept;

/// Counts operations that wait on `fd`, on all workers. Any thread.
void add_waiter(int fd) noexcept;
void remove_waiter(int fd) noexcept;
std::uint32_t waiters(int fd) noexcept;

/// One more than the highest descriptor that any operation has waited on. Any thread.
int end() noexcept;

}  // namespace coir::detail::fd_table
