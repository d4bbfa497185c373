// What does it cost to end a fiber from outside, to bind it to a block of code, to wait for one of
// several things, and to run a raw context?

#include "bench/micro/registration.hpp"

#include <numeric>
#include <vector>

namespace {

// One unit is a fiber spawned, killed where it waits, and unwound. Boost.Fiber cannot.
void kill_waiting_ns(benchmark::State& state) {
  std::int64_t unwound = 0;
  struct count_end {
    std::int64_t& ends;
    ~count_end() { ++ends; }
  };
  coir::event never;
  for (auto _ : state) {
    const coir::fiber<> f = coir::spawn([&] {
      const count_end here{unwound};
      never.wait();
    });
    coir::yield();
    f.kill();
  }
  bench::check(state, unwound, state.iterations());
}

// One unit is a scope with one fiber in it: spawn_join_ns plus the scope.
void scope_of_one_ns(benchmark::State& state) {
  std::int64_t ran = 0;
  for (auto _ : state) {
    coir::scope s;
    s.spawn([&ran] { ++ran; });
  }
  bench::check(state, ran, state.iterations());
}

/// One unit is an event set by another fiber, which `await` waits for and then says so.
template <class Await>
void answer_events(benchmark::State& state, Await await) {
  coir::event asked, answered;
  const coir::fiber<> other = coir::spawn([&] {
    for (;; answered.set()) {
      asked.wait();
      asked.clear();
    }
  });
  std::int64_t answers = 0;
  for (auto _ : state) {
    asked.set();
    answers += await(answered);
    answered.clear();
  }
  bench::check(state, answers, state.iterations());
  other.kill();
}

// Waits for it beside a second event. Boost.Fiber has no such wait.
void wait_any_ns(benchmark::State& state) {
  coir::event never;
  answer_events(state, [&](coir::event& e) { return coir::wait_any(e, never) == 0; });
}

// Boost.Fiber has no event.
void event_round_ns(benchmark::State& state) {
  answer_events(state, [](coir::event& e) {
    e.wait();
    return e.is_set();
  });
}

// One unit is a call_once that has nothing left to do.
void once_done_ns(benchmark::State& state) {
  coir::once_flag flag;
  std::int64_t calls = 0;
  for (auto _ : state) {
    coir::call_once(flag, [&calls] { ++calls; });
    benchmark::DoNotOptimize(flag);
  }
  bench::check(state, calls, 1);
}

// One unit is a switch to a raw context with a value, and one back.
void context_round_ns(benchmark::State& state) {
  coir::context<std::int64_t> adding([](std::int64_t n) {
    for (;;) n = coir::context<std::int64_t>::switch_to_parent(n + 1);
    return n;
  });
  std::int64_t number = 0;
  for (auto _ : state) number = adding.switch_to(number);
  bench::check(state, number, state.iterations());
}

// One unit is an item that goes through an imap with 8 places: a spawn, its end, and the hand-over
// of its result in order.
void imap_item_ns(benchmark::State& state) {
  constexpr std::int64_t batch = 1000;
  std::vector<std::int64_t> items(batch);
  std::iota(items.begin(), items.end(), 0);
  coir::pool pool(8);
  std::int64_t sum = 0;
  while (state.KeepRunningBatch(batch)) {
    for (const std::int64_t n : pool.imap([](std::int64_t item) { return item; }, items)) sum += n;
  }
  bench::check(state, sum, state.iterations() / batch * (batch * (batch - 1) / 2));
}

}  // namespace

BENCH_COIR(kill_waiting_ns, "kill_waiting_ns");
BENCH_COIR(scope_of_one_ns, "scope_of_one_ns");
BENCH_COIR(wait_any_ns, "wait_any_ns");
BENCH_COIR(event_round_ns, "event_round_ns");
BENCH_COIR(once_done_ns, "once_done_ns");
BENCH_COIR(context_round_ns, "context_round_ns");
BENCH_COIR(imap_item_ns, "imap_item_ns");
