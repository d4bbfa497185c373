// The question of mutex.cpp, put to Boost.Fiber: each thread launches two of the fibers, which may
// be stolen later.

#include "bench/workers/boost_crew.hpp"
#include "bench/workers/program.hpp"

#include <mutex>

double bench::contended_mutex_ns(const manner& how) {
  boost_crew crew(2);
  boost::fibers::mutex mutex;
  return ns_per_unit(how, 100 * mutex_fibers, [&](std::int64_t locks) {
    std::int64_t taken = 0;
    const auto take = [&] {
      for (std::int64_t i = 0; i < locks / mutex_fibers; ++i) {
        const std::lock_guard guard(mutex);
        ++taken;
        boost::this_fiber::yield();
      }
    };
    crew.run([&](int) {
      boost_crew::fiber fibers[mutex_fibers / 2];
      for (boost_crew::fiber& fiber : fibers) fiber = boost_crew::spawn(take);
      for (boost_crew::fiber& fiber : fibers) fiber.join();
    });
    check(taken == locks);
  });
}
