#include <coir/any_fiber.hpp>

#include "runtime/sched/worker.hpp"

#include <algorithm>

namespace coir {

std::vector<any_fiber> live_fibers() {
  std::vector<any_fiber> found;
  detail::worker::current().for_each_fiber([&](const detail::control_block& f) {
    detail::task* const t = detail::task_of_fiber(f);
    if (!t) return;
    t->retain();
    found.emplace_back(detail::task_ref<detail::task>(t));
  });
  std::sort(found.begin(), found.end(),
            [](const any_fiber& a, const any_fiber& b) { return a.id() < b.id(); });
  return found;
}

}  // namespace coir
