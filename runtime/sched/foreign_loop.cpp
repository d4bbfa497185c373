#include <coir/foreign_loop.hpp>

#include "runtime/sched/worker.hpp"

#include <stdexcept>
#include <system_error>

namespace coir {

int pollable_fd() {
  const int fd = detail::worker::current().io().pollable_fd();
  if (fd >= 0) return fd;
  throw std::system_error(-fd, std::system_category(), "coir::pollable_fd");
}

std::chrono::nanoseconds run_once() {
  detail::worker& w = detail::worker::current();
  if (w.running != &w.main_fiber())
    throw std::logic_error("coir::run_once: called by a spawned fiber; the main fiber runs a loop");
  if (w.seat()) throw std::logic_error("coir::run_once: this thread belongs to a set of workers");
  if (w.in_replay())
    throw std::logic_error("coir::run_once: a replay is in progress, which knows no other loop");
  const std::int64_t limit = w.run_once();
  return limit < 0 ? std::chrono::nanoseconds::max() : std::chrono::nanoseconds(limit);
}

}  // namespace coir
