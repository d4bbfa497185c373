// What does it cost to wait for one's turn with a mutex and a condition variable?

#include "bench/micro/registration.hpp"

#include <mutex>

namespace {

enum class turn { ping, pong, over };

// One unit is a round trip: the turn is passed to the other fiber and comes back.
template <class Library>
void condition_round_trip_ns(benchmark::State& state) {
  typename Library::mutex mutex;
  typename Library::condition changed;
  turn now = turn::ping;
  std::int64_t answers = 0;
  auto other = Library::spawn([&] {
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [&] { return now != turn::ping; });
      if (now == turn::over) return;
      ++answers;
      now = turn::ping;
      changed.notify_one();
    }
  });
  std::unique_lock lock(mutex);
  for (auto _ : state) {
    now = turn::pong;
    changed.notify_one();
    changed.wait(lock, [&] { return now == turn::ping; });
  }
  bench::check(state, answers, state.iterations());
  now = turn::over;
  changed.notify_one();
  lock.unlock();
  other.join();
}

}  // namespace

BENCH_BOTH(condition_round_trip_ns, "condition_round_trip_ns");
