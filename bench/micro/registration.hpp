/// How the benchmarks are registered and how they report that they did not do their work.
#pragma once

#include "bench/micro/boost_library.hpp"
#include "bench/micro/coir_library.hpp"

#include <benchmark/benchmark.h>

namespace bench {

/// Makes the benchmark fail unless `done`, what was counted inside, is `expected`.
inline void check(benchmark::State& state, std::int64_t done, std::int64_t expected) {
  if (done != expected) state.SkipWithError("the work was not done");
}

}  // namespace bench

/// Registers `function<Library>` for both libraries under the name of a row of the table.
#define BENCH_BOTH(function, row)                              \
  BENCHMARK(function<bench::coir_library>)->Name("coir:" row); \
  BENCHMARK(function<bench::boost_library>)->Name("boost:" row)

/// Registers what Boost.Fiber has no counterpart of.
#define BENCH_COIR(function, row) BENCHMARK(function)->Name("coir:" row)
