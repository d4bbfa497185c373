#include <coir/latch.hpp>

#include <stdexcept>

namespace coir {

void latch::refuse_negative() {
  throw std::invalid_argument("coir::latch: a number of arrivals is not negative");
}

void latch::count_down(std::ptrdiff_t arrivals) {
  if (arrivals < 0) refuse_negative();
  if (!left_.add(-arrivals)) {
    throw std::logic_error("coir::latch: counted down further than it was to count");
  }
}

}  // namespace coir
