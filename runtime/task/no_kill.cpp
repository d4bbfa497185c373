#include <coir/no_kill.hpp>

#include "runtime/sched/worker.hpp"

#include <utility>

namespace coir {
namespace this_fiber {

no_kill::no_kill() : fiber_(detail::worker::current().running) { ++fiber_->record->kill.guards; }

no_kill::~no_kill() {
  detail::kill_request& request = fiber_->record->kill;
  if (--request.guards > 0 || !std::exchange(request.is_deferred, false)) return;
  detail::worker::of(*fiber_).kill(*fiber_, std::move(request.error));
}

}  // namespace this_fiber
}  // namespace coir
