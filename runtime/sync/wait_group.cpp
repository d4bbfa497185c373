#include <coir/wait_group.hpp>

#include <stdexcept>

namespace coir {

void wait_group::add(std::ptrdiff_t count) {
  if (left_.add(count)) return;
  throw std::logic_error(count < 0 ? "coir::wait_group: more was done than had been added"
                                   : "coir::wait_group: more was added than can be counted");
}

}  // namespace coir
