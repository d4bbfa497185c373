#include "runtime/sync/living.hpp"

namespace coir::detail {

waiter* skip_abandoned(wait_queue& waiters, waiter* first) noexcept {
  while (first && is_abandoned(*first->fiber)) first = waiters.take_one();
  return first;
}

}  // namespace coir::detail
