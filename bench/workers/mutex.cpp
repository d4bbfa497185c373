// What does a lock cost that fibers on two workers want at the same time?

#include "bench/workers/program.hpp"

#include <coir/coir.hpp>

#include <mutex>
#include <vector>

// One unit is lock, count, yield, unlock. Four fibers do that, two on each worker; the yield lets
// those of the same worker come and wait as well.
double bench::contended_mutex_ns(const manner& how) {
  coir::workers crew({.count = 2, .pin = true});
  coir::mutex mutex;
  return ns_per_unit(how, 100 * mutex_fibers, [&](std::int64_t locks) {
    std::int64_t taken = 0;
    std::vector<coir::fiber<>> takers;
    for (std::size_t n = 0; n < mutex_fibers; ++n) {
      takers.push_back(crew.spawn_on(n % 2, [&] {
        for (std::int64_t i = 0; i < locks / mutex_fibers; ++i) {
          const std::lock_guard guard(mutex);
          ++taken;
          coir::yield();
        }
      }));
    }
    for (coir::fiber<>& taker : takers) taker.get();
    check(taken == locks);
  });
}
