#include <coir/group.hpp>

namespace coir {

group::~group() { roster_.wait_empty(); }

std::vector<any_fiber> group::members() {
  std::vector<any_fiber> found;
  for (auto& each : roster_.members()) found.emplace_back(std::move(each));
  return found;
}

void group::kill(const std::exception_ptr& error, bool wait) {
  if (!wait) return roster_.kill_members(error);
  roster_.kill(error, detail::never);
}

void group::add_until(const any_fiber& f, detail::deadline until) {
  if (!roster_.add(*detail::handle_access::state(f), until)) throw pool_full();
}

}  // namespace coir
