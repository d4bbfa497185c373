// What does it cost a fiber to look at a variable of its own?

#include "bench/micro/registration.hpp"

namespace {

// One unit is one read of a number that the fiber has set before, and its change.
void coir_fiber_local_get_ns(benchmark::State& state) {
  coir::fiber_local<std::int64_t> own;
  own.set(0);
  for (auto _ : state) benchmark::DoNotOptimize(++own.get());
  bench::check(state, own.get(), state.iterations());
}

// Boost's holds a pointer to the number.
void boost_fiber_local_get_ns(benchmark::State& state) {
  boost::fibers::fiber_specific_ptr<std::int64_t> own;
  own.reset(new std::int64_t(0));
  for (auto _ : state) benchmark::DoNotOptimize(++*own);
  bench::check(state, *own, state.iterations());
}

}  // namespace

BENCHMARK(coir_fiber_local_get_ns)->Name("coir:fiber_local_get_ns");
BENCHMARK(boost_fiber_local_get_ns)->Name("boost:fiber_local_get_ns");
