#include "runtime/fiber/fiber_values.hpp"

namespace coir::detail {
namespace {

constinit thread_local fiber_values values_of_this_thread;

}  // namespace

fiber_values& thread_values() noexcept {
  asm volatile("");  // a call without effect could still be merged with an earlier one
  return values_of_this_thread;
}

}  // namespace coir::detail
