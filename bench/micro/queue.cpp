// What does it cost to pass a number from fiber to fiber?

#include "bench/micro/registration.hpp"

namespace {

constexpr std::int64_t last_number = -1;

// One unit is a round trip: a number over a queue without room, and the next number back over
// another.
template <class Library>
void hand_over_round_trip_ns(benchmark::State& state) {
  typename Library::rendezvous there;
  typename Library::rendezvous back;
  auto echo = Library::spawn([&] {
    for (std::int64_t n; (n = there.get()) != last_number;) back.put(n + 1);
  });
  std::int64_t number = 0;
  for (auto _ : state) {
    there.put(number);
    number = back.get();
  }
  bench::check(state, number, state.iterations());
  there.put(last_number);
  echo.join();
}

// One unit is one number through a queue with room for 128: one fiber puts as long as there is
// room, the other gets as long as there are numbers.
template <class Library>
void buffered_item_ns(benchmark::State& state) {
  constexpr std::int64_t batch = 1000;
  typename Library::buffered queue;
  bool is_over = false;
  auto producer = Library::spawn([&] {
    for (std::int64_t n = 0; !is_over; ++n) queue.put(n);
    queue.put(last_number);
  });
  std::int64_t sum = 0;
  while (state.KeepRunningBatch(batch)) {
    for (std::int64_t i = 0; i < batch; ++i) sum += queue.get();
  }
  bench::check(state, sum, state.iterations() * (state.iterations() - 1) / 2);
  is_over = true;
  while (queue.get() != last_number) {
  }
  producer.join();
}

// One unit is one number through a queue of another kind with room for 128, in the same manner.
// Boost.Fiber has none.
template <class Queue>
void ordered_item_ns(benchmark::State& state) {
  constexpr std::int64_t batch = 1000;
  Queue queue(128);
  auto producer = coir::spawn([&queue] {
    for (;;) queue.put(1);
  });
  std::int64_t sum = 0;
  while (state.KeepRunningBatch(batch)) {
    for (std::int64_t i = 0; i < batch; ++i) sum += queue.get();
  }
  bench::check(state, sum, state.iterations());
  producer.kill();
}

}  // namespace

BENCH_BOTH(hand_over_round_trip_ns, "hand_over_round_trip_ns");
BENCH_BOTH(buffered_item_ns, "buffered_item_ns");
BENCHMARK(ordered_item_ns<coir::lifo_queue<std::int64_t>>)->Name("coir:lifo_item_ns");
BENCHMARK(ordered_item_ns<coir::priority_queue<std::int64_t>>)->Name("coir:priority_item_ns");
