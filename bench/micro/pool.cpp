// What does a place in a pool add to a spawn, and what does it cost to have a thread do something?

#include "bench/micro/registration.hpp"

namespace {

// One unit is one fiber, spawned in a pool and joined at once: spawn_join_ns plus the place.
void pool_spawn_join_ns(benchmark::State& state) {
  coir::pool pool(100);
  std::int64_t ran = 0;
  for (auto _ : state) pool.spawn([&ran] { ++ran; }).join();
  bench::check(state, ran, state.iterations());
}

// One unit is one call of a function that does next to nothing on a thread of the process's own
// offload threads, awaited by a fiber. Wall time: two threads wake each other.
void offload_round_trip_ns(benchmark::State& state) {
  std::int64_t ran = 0;
  for (auto _ : state) coir::offload([&ran] { ++ran; });
  bench::check(state, ran, state.iterations());
}

// The same by a thread_pool, which has a task for each call.
void thread_pool_round_trip_ns(benchmark::State& state) {
  coir::thread_pool pool(1);
  std::int64_t ran = 0;
  for (auto _ : state) pool.apply([&ran] { ++ran; });
  bench::check(state, ran, state.iterations());
}

// The same by a fiber that offloads: what a handle to wait for costs without a thread_pool.
void fiber_offload_round_trip_ns(benchmark::State& state) {
  std::int64_t ran = 0;
  for (auto _ : state) coir::spawn([&ran] { coir::offload([&ran] { ++ran; }); }).join();
  bench::check(state, ran, state.iterations());
}

}  // namespace

BENCHMARK(pool_spawn_join_ns)->Name("coir:pool_spawn_join_ns");
BENCHMARK(offload_round_trip_ns)->Name("coir_with_threads:offload_round_trip_ns")->UseRealTime();
BENCHMARK(thread_pool_round_trip_ns)
    ->Name("coir_with_threads:thread_pool_round_trip_ns")
    ->UseRealTime();
BENCHMARK(fiber_offload_round_trip_ns)
    ->Name("coir_with_threads:fiber_offload_round_trip_ns")
    ->UseRealTime();
