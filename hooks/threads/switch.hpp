/// Switching between contexts: of fibers, and of hubs.
#pragma once

#include "hooks/threads/thread_fiber.hpp"

#include <cstdint>

namespace coir::threads {

/// Leaves the running context for `next` on the same carrier; returns when somebody switches back.
void switch_to(thread_fiber& next) noexcept;
/// The same, and `after` is called for the context that was left, first thing on `next`.
void switch_to(thread_fiber& next, void (*after)(thread_fiber&) noexcept) noexcept;
/// The first thing on every context after a switch.
void finish_switch() noexcept;

/// The processor time of the running fiber since the first such question in this process.
std::int64_t thread_cpu_time_ns() noexcept;

}  // namespace coir::threads
