// The one place that assembles the floors for questions from outside.
#include <coir/runtime.hpp>

#include "runtime/sched/worker.hpp"

namespace coir {

const char* backend() { return detail::worker::current().io().name(); }

std::size_t fiber_count() { return detail::worker::current().live(); }

}  // namespace coir
