// Spin locks: whoever holds one may be a fiber that waits for this very carrier, so one that spins
// lets others run now and then.
#include "hooks/preload/preload.hpp"
#include "hooks/threads/machine.hpp"

#include <pthread.h>

COIR_DEFINE_REAL(pthread_spin_lock);

using namespace coir;
using namespace coir::hooks;

/// hook: locks: lets other fibers run while it spins
COIR_HOOK int pthread_spin_lock(pthread_spinlock_t* lock) noexcept {
  if (!parking_fiber(family::sync)) return real::pthread_spin_lock(lock);
  constexpr int rounds_between_yields = 100;  // a few microseconds, longer than most holders need
  for (int round = 1; ::pthread_spin_trylock(lock) != 0; ++round) {
    threads::relax();
    if (round % rounds_between_yields == 0 || threads::sched->tokens == 1) threads::yield();
  }
  return 0;
}
