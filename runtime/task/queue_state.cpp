#include <coir/detail/queue_state.hpp>

#include <mutex>

namespace coir::detail {

void queue_state::show(const void* item) noexcept {
  while (waiter* const taken = peekers.take_one()) {
    peeker& self = *static_cast<peeker*>(taken->payload);
    self.copy(self, item);
    wait_queue::wake(*taken);
  }
}

void queue_state::close() noexcept {
  is_closed = true;
  room = 0;
  getters.wake_all();
  peekers.wake_all();
  while (waiter* const putter = putters.take_one()) {
    putter->payload = nullptr;  // refused
    wait_queue::wake(*putter);
  }
}

void queue_state::finish(std::size_t count) noexcept {
  unfinished -= count;
  if (unfinished == 0) joiners.wake_all();
}

bool queue_state::join_until(deadline until) {
  lock.lock();
  if (unfinished == 0) {
    lock.unlock();
    return true;
  }
  waiter self;
  return wait_in(joiners, self, until, wait_reason::join);
}

}  // namespace coir::detail
