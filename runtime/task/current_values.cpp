#include "runtime/task/current_values.hpp"

#include <utility>

namespace coir::detail {
namespace {

// Destructors may make values anew; as with POSIX's thread-specific data there is an end to it.
constexpr int rounds_max = 4;

void destroy_values(fiber_values& own) noexcept {
  for (int round = 0; round < rounds_max && own.destroy; ++round) {
    own.destroy = nullptr;
    destroy_locals(own);
    release_inherited(std::exchange(own.inherited, nullptr));
  }
  forget_locals(own);
  release_inherited(std::exchange(own.inherited, nullptr));
  own.destroy = nullptr;
}

/// Ends the values of a thread's main fiber with the thread. That of a worker ends them itself when
/// it retires; the process's main thread has none that does.
struct thread_end {
  bool is_needed = false;
  ~thread_end() {
    worker* const w = worker::current_or_null();
    end_values(w ? w->main_fiber().record->values : thread_values());
  }
};

}  // namespace

void prepare_values(fiber_values& own) noexcept {
  if (own.destroy) return;
  own.destroy = destroy_values;
  worker* const w = worker::current_or_null();
  if (w && w->running != &w->main_fiber()) return;
  static thread_local thread_end at_end;
  at_end.is_needed = true;
}

void give_inherited(inherited_values* shared, fiber_values& child) noexcept {
  if (!shared) return;
  child.inherited = shared;
  child.destroy = destroy_values;
}

}  // namespace coir::detail
