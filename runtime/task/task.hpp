/// The parts of a task that its users do not see; and the life, step by step, of one that no fiber
/// runs: a thread of a thread_pool does.
#pragma once

#include <coir/detail/task.hpp>

#include <list>
#include <stop_token>
#include <string>

namespace coir::detail {

/// What few tasks need, made when one does. All but the name is guarded by the task's lock.
struct task_extras {
  struct callback {
    std::uint64_t number;
    any_call<void()> function;
  };

  std::string name = "fiber";  ///< given before the task is shared
  std::list<callback> callbacks;
  std::uint64_t callbacks_added = 0;
  std::stop_source stop{std::nostopstate};  ///< with a state once asked for
};

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
