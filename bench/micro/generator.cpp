// What does it cost to ask a generator for its next value?
//
// The counterpart is Boost.Coroutine2, whose pull_type is a generator without a way in; bare is a
// jump of Boost.Context there and one back.

#include "bench/micro/registration.hpp"

// The compiler does not see that the constructor runs the body, on another stack
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <boost/coroutine2/coroutine.hpp>
#include <boost/coroutine2/pooled_fixedsize_stack.hpp>

namespace {

// One unit is a value asked for and handed out: two switches of stacks. The values are numbers.
void coir_generator_next_ns(benchmark::State& state) {
  coir::generator<std::int64_t> numbers([](auto& yield) {
    for (std::int64_t n = 1;; ++n) yield(n);
  });
  std::int64_t last = 0;
  for (auto _ : state) last = *numbers.next();
  bench::check(state, last, state.iterations());
}

void boost_generator_next_ns(benchmark::State& state) {
  using coroutine = boost::coroutines2::coroutine<std::int64_t>;
  coroutine::pull_type numbers([](coroutine::push_type& yield) {
    for (std::int64_t n = 1;; ++n) yield(n);
  });
  std::int64_t last = 0;
  for (auto _ : state) {
    last = numbers.get();
    numbers();
  }
  bench::check(state, last, state.iterations());
}

// One unit is a generator made, asked for its only value, run to its end and destroyed.
void coir_generator_life_ns(benchmark::State& state) {
  std::int64_t sum = 0;
  for (auto _ : state) {
    coir::generator<std::int64_t> one([](auto& yield) { yield(1); });
    while (const auto value = one.next()) sum += *value;
  }
  bench::check(state, sum, state.iterations());
}

// With stacks from a pool, as coir's are.
void boost_generator_life_ns(benchmark::State& state) {
  using coroutine = boost::coroutines2::coroutine<std::int64_t>;
  boost::coroutines2::pooled_fixedsize_stack stacks(64 * 1024);
  std::int64_t sum = 0;
  for (auto _ : state) {
    coroutine::pull_type one(stacks, [](coroutine::push_type& yield) { yield(1); });
    for (; one; one()) sum += one.get();
  }
  bench::check(state, sum, state.iterations());
}

}  // namespace

BENCHMARK(coir_generator_next_ns)->Name("coir:generator_next_ns");
BENCHMARK(boost_generator_next_ns)->Name("boost:generator_next_ns");
BENCHMARK(coir_generator_life_ns)->Name("coir:generator_life_ns");
BENCHMARK(boost_generator_life_ns)->Name("boost:generator_life_ns");
