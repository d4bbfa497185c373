// What does it cost to wait for one's turn, when the other side is a fiber on another worker?

#include "bench/workers/program.hpp"

#include <coir/coir.hpp>

#include <mutex>

// One unit is a round trip: with a mutex and a condition variable the turn is passed to the other
// worker's fiber and comes back.
double bench::cross_condition_round_trip_ns(const manner& how) {
  coir::workers crew({.count = 2, .pin = true});
  coir::mutex mutex;
  coir::condition_variable turned;
  int turn = 0;
  return ns_per_unit(how, 100, [&](std::int64_t trips) {
    std::int64_t passed = 0;
    const auto take_turns = [&](int own) {
      std::unique_lock lock(mutex);
      for (std::int64_t i = 0; i < trips; ++i) {
        turned.wait(lock, [&] { return turn == own; });
        turn = 1 - own;
        ++passed;
        turned.notify_one();
      }
    };
    auto first = crew.spawn_on(0, take_turns, 0);
    auto second = crew.spawn_on(1, take_turns, 1);
    first.get();
    second.get();
    check(passed == 2 * trips && turn == 0);
  });
}
