// What does it cost to pass a number over a channel, and to wait for the first of two?

#include "bench/micro/registration.hpp"

#include <optional>

namespace {

constexpr std::int64_t last_number = -1;

// One unit is a round trip: a number over a channel without buffer, and the next number back over
// another.
template <class Library>
void channel_round_trip_ns(benchmark::State& state) {
  typename Library::channel there;
  typename Library::channel back;
  auto echo = Library::spawn([&] {
    for (std::int64_t n; (n = there.recv()) != last_number;) back.send(n + 1);
  });
  std::int64_t number = 0;
  for (auto _ : state) {
    there.send(number);
    number = back.recv();
  }
  bench::check(state, number, state.iterations());
  there.send(last_number);
  echo.join();
}

// One unit is one number over a channel with room for 128 (Boost.Fiber: 127): one fiber sends as
// long as there is room, the other receives as long as there are numbers.
template <class Library>
void channel_item_ns(benchmark::State& state) {
  constexpr std::int64_t batch = 1000;
  typename Library::buffered_channel channel;
  bool is_over = false;
  auto sender = Library::spawn([&] {
    for (std::int64_t n = 0; !is_over; ++n) channel.send(n);
    channel.send(last_number);
  });
  std::int64_t sum = 0;
  while (state.KeepRunningBatch(batch)) {
    for (std::int64_t i = 0; i < batch; ++i) sum += channel.recv();
  }
  bench::check(state, sum, state.iterations() * (state.iterations() - 1) / 2);
  is_over = true;
  while (channel.recv() != last_number) {
  }
  sender.join();
}

// One unit is one number that comes over one of two channels without buffers, in turn, to a select
// that waits for both. Boost.Fiber has no select.
void select_wait_ns(benchmark::State& state) {
  coir::channel<std::int64_t> even;
  coir::channel<std::int64_t> odd;
  auto sender = coir::spawn([&] {
    for (std::int64_t n = 0;; n += 2) {
      even.send(n);
      odd.send(n + 1);
    }
  });
  std::int64_t sum = 0;
  const auto add = [&sum](std::optional<std::int64_t> n) { sum += *n; };
  for (auto _ : state) coir::select(coir::on_recv(even, add), coir::on_recv(odd, add));
  bench::check(state, sum, state.iterations() * (state.iterations() - 1) / 2);
  sender.kill();
}

// One unit is one number over a channel with a buffer, sent by a select of two cases and received
// by another; neither waits.
void select_ready_ns(benchmark::State& state) {
  coir::channel<std::int64_t> one(1);
  coir::channel<std::int64_t> other(1);
  std::int64_t sent = 0;
  std::int64_t sum = 0;
  const auto add = [&sum](std::optional<std::int64_t> n) { sum += *n; };
  for (auto _ : state) {
    coir::select(coir::on_send(one, sent), coir::on_send(other, sent));
    ++sent;
    coir::select(coir::on_recv(one, add), coir::on_recv(other, add));
  }
  bench::check(state, sum, state.iterations() * (state.iterations() - 1) / 2);
}

}  // namespace

BENCH_BOTH(channel_round_trip_ns, "channel_round_trip_ns");
BENCH_BOTH(channel_item_ns, "channel_item_ns");
BENCHMARK(select_wait_ns)->Name("coir:select_wait_ns");
BENCHMARK(select_ready_ns)->Name("coir:select_ready_ns");
