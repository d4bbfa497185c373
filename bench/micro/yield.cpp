// What does a yield through the scheduler cost while a number of fibers take turns?

#include "bench/micro/registration.hpp"

#include <algorithm>
#include <vector>

namespace {

struct turns {
  std::int64_t yields = 0;
  std::int64_t limit = 0;  ///< pause when there have been so many
  bool is_over = false;
};

// All fibers yield at this one place. What it costs that they do not is the last benchmark here.
template <class Library>
[[gnu::noinline]] void take_turns(turns& shared) {
  while (shared.yields < shared.limit) {
    ++shared.yields;
    Library::yield();
  }
}

// One unit is one yield; the benchmark's own fiber is one of `state.range(0)` that take turns. It
// is the first of each round, so that it also sees the limit first.
template <class Library>
void yield_ns(benchmark::State& state) {
  const std::int64_t count = state.range(0);
  turns shared;
  std::vector<typename Library::fiber> fibers;
  fibers.reserve(static_cast<std::size_t>(count - 1));
  for (std::int64_t i = 1; i < count; ++i) {
    fibers.push_back(Library::spawn([&shared] {
      for (;; Library::yield()) {
        take_turns<Library>(shared);
        if (shared.is_over) return;
      }
    }));
  }
  shared.limit = count;
  take_turns<Library>(shared);  // all begin
  const std::int64_t begun = shared.yields;
  const std::int64_t batch = std::max<std::int64_t>(1, 1000 / count) * count;
  while (state.KeepRunningBatch(batch)) {
    shared.limit += batch;
    take_turns<Library>(shared);
  }
  bench::check(state, shared.yields - begun, state.iterations());
  shared.is_over = true;
  for (auto& fiber : fibers) fiber.join();
}

// One unit is one yield; two fibers take turns, each at a place of its own in the code. A processor
// guesses where a return leads by where the last call came from; after such a switch that is wrong.
template <class Library>
void yield_at_two_places_ns(benchmark::State& state) {
  constexpr std::int64_t turns_per_batch = 500;
  std::int64_t yields = 0;
  bool is_over = false;
  auto other = Library::spawn([&] {
    for (; !is_over; ++yields) Library::yield();
  });
  Library::yield();  // it begins
  while (state.KeepRunningBatch(2 * turns_per_batch)) {
    for (std::int64_t i = 0; i < turns_per_batch; ++i) Library::yield();
  }
  bench::check(state, yields, state.iterations() / 2);
  is_over = true;
  other.join();
}

}  // namespace

BENCH_BOTH(yield_at_two_places_ns, "yield_2_places_ns");

BENCHMARK(yield_ns<bench::coir_library>)->Name("coir:yield_2_fibers_ns")->Arg(2);
BENCHMARK(yield_ns<bench::boost_library>)->Name("boost:yield_2_fibers_ns")->Arg(2);
// A fixed count: each new estimate would spawn all fibers again.
BENCHMARK(yield_ns<bench::coir_library>)
    ->Name("coir:yield_100000_fibers_ns")
    ->Arg(100000)
    ->Iterations(1000000);
BENCHMARK(yield_ns<bench::boost_library>)
    ->Name("boost:yield_100000_fibers_ns")
    ->Arg(100000)
    ->Iterations(1000000);
