#include <coir/fiber.hpp>

#include "runtime/sched/worker.hpp"

namespace coir {
namespace this_fiber {

void yield() {
  detail::worker& w = detail::worker::current();
  w.yield();
  if (w.running->is_interrupted) detail::throw_if_interrupted();
}

std::uint64_t id() { return detail::worker::current().running->record->id; }

std::string name() { return detail::worker::current().running->record->name; }

std::stop_token stop_token() {
  detail::task* const self = detail::current_task();
  return self ? self->stop_token() : std::stop_token();
}

bool stop_requested() { return stop_token().stop_requested(); }

}  // namespace this_fiber

void detail::sleep_until(deadline until) {
  worker& w = worker::current();
  wait_status how;
  do {
    how = w.park(wait_reason::sleep, until, interruptible::yes);
  } while (how == wait_status::woken);
  if (how == wait_status::interrupted) throw_if_interrupted();
}

}  // namespace coir
