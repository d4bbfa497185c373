// What does it cost to take a lock and to give it back?

#include "bench/micro/registration.hpp"

#include <cstdlib>
#include <mutex>
#include <shared_mutex>

namespace {

// One unit is a lock and an unlock of a mutex that nobody else wants.
template <class Library>
void uncontended_lock_ns(benchmark::State& state) {
  typename Library::mutex mutex;
  std::int64_t taken = 0;
  for (auto _ : state) {
    const std::lock_guard guard(mutex);
    benchmark::DoNotOptimize(++taken);
  }
  bench::check(state, taken, state.iterations());
}

// One unit is a lock that has to wait for another fiber, and its unlock. Two fibers hold the mutex
// in turn, and each yields while it holds it, so that the other comes and waits, and after it.
template <class Library>
void contended_lock_ns(benchmark::State& state) {
  typename Library::mutex mutex;
  bool is_over = false;
  std::int64_t taken_by_other = 0;
  const auto take = [&] {
    const std::lock_guard guard(mutex);
    Library::yield();
  };
  auto other = Library::spawn([&] {
    for (; !is_over; ++taken_by_other) {
      take();
      Library::yield();
    }
  });
  while (state.KeepRunningBatch(2)) {
    take();
    Library::yield();
  }
  bench::check(state, std::abs(2 * taken_by_other - state.iterations()) <= 2, true);
  is_over = true;
  other.join();
}

// One unit is a recursive mutex taken twice and given back twice, that nobody else wants.
template <class Library>
void recursive_lock_twice_ns(benchmark::State& state) {
  typename Library::recursive_mutex mutex;
  std::int64_t taken = 0;
  for (auto _ : state) {
    const std::lock_guard outer(mutex);
    const std::lock_guard inner(mutex);
    benchmark::DoNotOptimize(++taken);
  }
  bench::check(state, taken, state.iterations());
}

// One unit is a lock for reading, and its unlock, that no writer wants. Boost.Fiber has no such
// lock.
void shared_lock_ns(benchmark::State& state) {
  coir::shared_mutex mutex;
  std::int64_t taken = 0;
  for (auto _ : state) {
    const std::shared_lock guard(mutex);
    benchmark::DoNotOptimize(++taken);
  }
  bench::check(state, taken, state.iterations());
}

}  // namespace

BENCH_BOTH(uncontended_lock_ns, "uncontended_lock_ns");
BENCH_BOTH(contended_lock_ns, "contended_lock_ns");
BENCH_BOTH(recursive_lock_twice_ns, "recursive_lock_twice_ns");
BENCH_COIR(shared_lock_ns, "shared_lock_ns");
