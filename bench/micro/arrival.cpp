// What does it cost to wait until another fiber has come to a point?

#include "bench/micro/registration.hpp"

#include <limits>
#include <utility>

namespace {

// One unit is one round of two fibers that wait for each other at a barrier.
template <class Library>
void barrier_round_ns(benchmark::State& state) {
  typename Library::barrier barrier(2);
  std::int64_t rounds = 0;
  std::int64_t rounds_max = std::numeric_limits<std::int64_t>::max();
  auto other = Library::spawn([&] {
    while (rounds < rounds_max) {
      Library::pass(barrier);
      ++rounds;
    }
  });
  for (auto _ : state) Library::pass(barrier);
  rounds_max = state.iterations() + 1;  // the other fiber may be waiting already
  Library::pass(barrier);
  other.join();
  bench::check(state, rounds, state.iterations() + 1);
}

/// A fiber that, each time it runs, does something with what the benchmark's own fiber waits for.
/// A unit contains two switches, there and back.
template <class Library, class Thing, class Answer>
class answering_fiber {
 public:
  explicit answering_fiber(Answer answer)
      : fiber_(Library::spawn([this, answer] {
          for (; !is_over_; Library::yield()) {
            if (Thing* const thing = std::exchange(thing_, nullptr)) answer(*thing);
          }
        })) {}
  answering_fiber(const answering_fiber&) = delete;
  answering_fiber& operator=(const answering_fiber&) = delete;
  ~answering_fiber() {
    is_over_ = true;
    fiber_.join();
  }

  /// Gives it `thing`, for its next turn.
  void ask(Thing& thing) { thing_ = &thing; }

 private:
  Thing* thing_ = nullptr;
  bool is_over_ = false;
  typename Library::fiber fiber_;
};

// One unit is a promise made, kept by another fiber, and its future waited for and got.
template <class Library>
void future_set_and_get_ns(benchmark::State& state) {
  using promise = typename Library::promise;
  std::int64_t answers = 0;
  auto answer = [&answers](promise& asked) { asked.set_value(++answers); };
  answering_fiber<Library, promise, decltype(answer)> other(answer);
  std::int64_t number = 0;
  for (auto _ : state) {
    promise asked;
    auto future = asked.get_future();
    other.ask(asked);
    number = future.get();
  }
  bench::check(state, number, state.iterations());
}

// One unit is a latch made, opened by another fiber, and waited for. Boost.Fiber has none.
void latch_round_ns(benchmark::State& state) {
  std::int64_t opened = 0;
  auto open = [&opened](coir::latch& l) {
    ++opened;
    l.count_down();
  };
  answering_fiber<bench::coir_library, coir::latch, decltype(open)> other(open);
  for (auto _ : state) {
    coir::latch latch(1);
    other.ask(latch);
    latch.wait();
  }
  bench::check(state, opened, state.iterations());
}

// One unit is one added to a wait group, done by another fiber, and waited for. Boost.Fiber has
// none.
void wait_group_round_ns(benchmark::State& state) {
  std::int64_t ended = 0;
  auto end = [&ended](coir::wait_group& work) {
    ++ended;
    work.done();
  };
  coir::wait_group work;
  answering_fiber<bench::coir_library, coir::wait_group, decltype(end)> other(end);
  for (auto _ : state) {
    work.add();
    other.ask(work);
    work.wait();
  }
  bench::check(state, ended, state.iterations());
}

}  // namespace

BENCH_BOTH(barrier_round_ns, "barrier_round_ns");
BENCH_BOTH(future_set_and_get_ns, "future_set_and_get_ns");
BENCH_COIR(latch_round_ns, "latch_round_ns");
BENCH_COIR(wait_group_round_ns, "wait_group_round_ns");
