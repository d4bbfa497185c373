#include <coir/pool.hpp>

#include <stdexcept>

namespace coir {
namespace {

std::size_t checked(std::size_t size) {
  if (size == 0)
    throw std::invalid_argument("coir::pool: a pool of size 0 could never run anything");
  return size;
}

}  // namespace

pool::pool(std::size_t size) : group(checked(size)) {}

pool::pool(workers& on, std::size_t size) : group(checked(size), &on) {}

}  // namespace coir
