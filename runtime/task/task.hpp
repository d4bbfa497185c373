/// The life of a task that no fiber runs: a thread of a thread_pool does, step by step.
#pragma once

#include <coir/detail/task.hpp>

namespace coir::detail {

/// Gives a task its number and its name. Throws std::bad_alloc. The task must not be shared yet.
void identify_task(task& t, const attributes& how);

/// Calls the task's function, keeps its result, reports its failure, and destroys it. The task is
/// not ready yet: finish_task() has to come with what this returns. The function may park, on a
/// thread that becomes a worker by it.
task::state perform_task(task& t) noexcept;

/// In place of perform_task: ends the task as a kill with `error` ends a fiber that has not begun.
/// Never parks.
task::state give_up_task(task& t, std::exception_ptr error) noexcept;

/// Makes the task ready, wakes who waits for it, and drops one reference. Any thread; never parks.
void finish_task(task& t, task::state how) noexcept;

}  // namespace coir::detail
