// What does it cost to spawn a fiber that does next to nothing, and to join it?

#include "bench/micro/registration.hpp"

#include <vector>

namespace {

// One unit is one fiber, spawned and joined at once on a stack that was used before.
template <class Library>
void spawn_join_ns(benchmark::State& state) {
  std::int64_t ran = 0;
  for (auto _ : state) Library::spawn([&ran] { ++ran; }).join();
  bench::check(state, ran, state.iterations());
}

// One unit is one fiber of a batch: 10,000 are spawned, then all are joined. The first batch, which
// touches fresh stacks, is not measured.
template <class Library>
void batch_10000_ns(benchmark::State& state) {
  constexpr std::int64_t batch = 10000;
  std::int64_t ran = 0;
  std::vector<typename Library::fiber> fibers;
  fibers.reserve(batch);
  const auto run_batch = [&] {
    for (std::int64_t i = 0; i < batch; ++i) fibers.push_back(Library::spawn([&ran] { ++ran; }));
    for (auto& fiber : fibers) fiber.join();
    fibers.clear();
  };
  run_batch();
  while (state.KeepRunningBatch(batch)) run_batch();
  bench::check(state, ran, state.iterations() + batch);
}

}  // namespace

BENCH_BOTH(spawn_join_ns, "spawn_join_ns");
BENCH_BOTH(batch_10000_ns, "batch_10000_per_fiber_ns");
