// The question of condition.cpp, put to Boost.Fiber: each side is the main fiber of its thread.

#include "bench/workers/boost_crew.hpp"
#include "bench/workers/program.hpp"

#include <mutex>

double bench::cross_condition_round_trip_ns(const manner& how) {
  boost_crew crew(2);
  boost::fibers::mutex mutex;
  boost::fibers::condition_variable turned;
  int turn = 0;
  return ns_per_unit(how, 100, [&](std::int64_t trips) {
    std::int64_t passed = 0;
    crew.run([&](int thread) {
      std::unique_lock lock(mutex);
      for (std::int64_t i = 0; i < trips; ++i) {
        turned.wait(lock, [&] { return turn == thread; });
        turn = 1 - thread;
        ++passed;
        turned.notify_one();
      }
    });
    check(passed == 2 * trips && turn == 0);
  });
}
