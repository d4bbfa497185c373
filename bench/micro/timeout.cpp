// What does it cost to wait with a limit that does not pass?

#include "bench/micro/registration.hpp"

#include <chrono>

namespace {

constexpr std::chrono::seconds limit(10);

// One unit is one wait of a fiber on a semaphore with a limit of 10 s, from its call to its return:
// the limit is set, the fiber parks, another fiber releases the semaphore, the limit is cancelled.
// Two fibers do this in turn, so that a unit contains one release and one switch of fibers; what
// they cost alone is the next benchmark.
template <class Library>
void timeout_set_and_cancelled_ns(benchmark::State& state) {
  typename Library::semaphore there;
  typename Library::semaphore back;
  bool is_over = false;
  std::int64_t ended_in_time = 0;
  auto other = Library::spawn([&] {
    while (there.acquire_within(limit) && !is_over) {
      ++ended_in_time;
      back.release();
    }
  });
  while (state.KeepRunningBatch(2)) {
    there.release();
    if (back.acquire_within(limit)) ++ended_in_time;
  }
  bench::check(state, ended_in_time, state.iterations());
  is_over = true;
  there.release();
  other.join();
}

// One unit is the same wait without a limit.
template <class Library>
void wait_without_timeout_ns(benchmark::State& state) {
  typename Library::semaphore there;
  typename Library::semaphore back;
  bool is_over = false;
  std::int64_t answers = 0;
  auto other = Library::spawn([&] {
    for (;;) {
      there.acquire();
      if (is_over) return;
      ++answers;
      back.release();
    }
  });
  while (state.KeepRunningBatch(2)) {
    there.release();
    back.acquire();
  }
  bench::check(state, answers, state.iterations() / 2);
  is_over = true;
  there.release();
  other.join();
}

}  // namespace

BENCH_BOTH(timeout_set_and_cancelled_ns, "timeout_set_and_cancelled_ns");
BENCH_BOTH(wait_without_timeout_ns, "wait_without_timeout_ns");
