#include "hooks/threads/poller_kick.hpp"

#include "hooks/threads/runtime_descriptors.hpp"
#include "hooks/threads/state.hpp"
#include "runtime/kernel/calls.hpp"

#include <cstdint>

#include <sys/eventfd.h>

namespace coir::threads {

int start_kick() noexcept {
  own_descriptors.kick = move_up(kernel::eventfd2(0, EFD_CLOEXEC | EFD_NONBLOCK));
  return own_descriptors.kick < 0 ? own_descriptors.kick : 0;
}

void kick_poller() noexcept {
  if (sched->is_poller_kicked.exchange(1, std::memory_order_seq_cst) != 0) return;
  const std::uint64_t one = 1;
  kernel::write(own_descriptors.kick, &one, sizeof one);
}

void take_kick() noexcept {
  std::uint64_t count_of_kicks;
  kernel::read(own_descriptors.kick, &count_of_kicks, sizeof count_of_kicks);
  sched->is_poller_kicked.store(0, std::memory_order_seq_cst);
}

}  // namespace coir::threads
