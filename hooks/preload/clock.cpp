// The processor time of a thread, which the kernel knows for its own threads only.
#include "hooks/preload/preload.hpp"
#include "hooks/time_limit.hpp"

#include <ctime>

COIR_DEFINE_REAL(clock_gettime);

using namespace coir::hooks;
namespace threads = coir::threads;

/// hook: time: the processor time of a fiber, counted from the first question on; else unchanged
COIR_HOOK int clock_gettime(clockid_t clock, timespec* now) noexcept {
  if (clock != CLOCK_THREAD_CPUTIME_ID || !threads::current())
    return real::clock_gettime(clock, now);
  *now = to_timespec(threads::thread_cpu_time_ns());
  return 0;
}
