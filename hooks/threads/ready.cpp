#include "hooks/threads/ready.hpp"

#include "hooks/threads/state.hpp"
#include "hooks/threads/tokens.hpp"

namespace coir::threads {

void wake(thread_fiber& fiber) noexcept {
  park_state state = fiber.state.load(std::memory_order_seq_cst);
  for (;;) {
    if (state == park_state::parked) {
      if (fiber.state.compare_exchange_weak(state, park_state::notified,
                                            std::memory_order_seq_cst)) {
        queue_fiber(fiber, false);
        return;
      }
    } else if (state == park_state::parking) {
      if (fiber.state.compare_exchange_weak(state, park_state::notified, std::memory_order_seq_cst))
        return;
    } else {
      return;
    }
  }
}

void queue_fiber(thread_fiber& fiber, bool is_global) noexcept {
  enter_runtime();
  sched->ready_count.fetch_add(1, std::memory_order_seq_cst);
  thread_fiber* const self = here.self;
  carrier* const c = self ? self->on : nullptr;
  const bool is_own = !is_global && c && holds_token(*c);
  (is_own ? c->queue : sched->global_queue).push(fiber);
  bring_runner();
  leave_runtime();
}

}  // namespace coir::threads
