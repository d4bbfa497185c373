#include "hooks/threads/hub.hpp"

#include "hooks/threads/pick.hpp"
#include "hooks/threads/rest.hpp"
#include "hooks/threads/state.hpp"
#include "hooks/threads/switch.hpp"
#include "hooks/threads/tokens.hpp"

namespace coir::threads {

void run_hub() noexcept {
  finish_switch();
  carrier& c = *here.self->on;
  for (;;) {
    thread_fiber* next = nullptr;
    while (!next) {
      rest_while_stuck(c);
      next = take_near(c);
      if (!next) {
        look_for_events();
        next = take_near(c);
      }
      if (!next && sched->ready_count.load(std::memory_order_seq_cst) > 0) next = steal(c);
      if (!next) rest(c);
    }
    found_work();
    switch_to(*next);
  }
}

}  // namespace coir::threads
