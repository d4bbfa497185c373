// The questions of spawn.cpp, put to Boost.Fiber.

#include "bench/workers/boost_crew.hpp"
#include "bench/workers/program.hpp"

#include <algorithm>
#include <atomic>
#include <numeric>

namespace {

using bench::boost_crew;

/// Launches a fiber for each number that comes, until no more will and all fibers have ended.
void serve(boost::fibers::buffered_channel<std::int64_t>& numbers,
           std::vector<std::int64_t>& results, std::atomic<std::int64_t>& done) {
  for (std::int64_t i; numbers.pop(i) == boost::fibers::channel_op_status::success;) {
    boost_crew::spawn([&results, &done, i] {
      results[static_cast<std::size_t>(i)] = i;
      done.fetch_add(1, std::memory_order_release);
    }).detach();
  }
  while (done.load(std::memory_order_acquire) != bench::spawn_batch) boost::this_fiber::yield();
}

}  // namespace

// No fiber can be launched into another thread: what a user would write, a channel to a fiber on
// each thread that launches.
double bench::spawn_from_outside_ns(const manner& how) {
  boost_crew crew(2);
  std::vector<std::int64_t> results(spawn_batch);
  return ns_per_unit(how, spawn_batch, [&](std::int64_t tasks) {
    for (std::int64_t begun = 0; begun < tasks; begun += spawn_batch) {
      std::fill(results.begin(), results.end(), 0);
      boost::fibers::buffered_channel<std::int64_t> numbers(channel_room);
      std::atomic<std::int64_t> done = 0;
      std::thread outside([&numbers] {
        for (std::int64_t i = 0; i < spawn_batch; ++i) numbers.push(i);
        numbers.close();
      });
      crew.run([&](int) { serve(numbers, results, done); });
      outside.join();
      check(std::accumulate(results.begin(), results.end(), std::int64_t{0}) ==
            sum_below(spawn_batch));
    }
  });
}

double bench::parallel_spawn_ns(const manner& how) {
  boost_crew crew(how.workers);
  const example::walk_end end(how.walk_steps);
  std::vector<std::uint64_t> results(spawn_batch);
  std::vector<boost_crew::fiber> fibers(spawn_batch);
  const auto batch = [&] {
    for (std::size_t i = 0; i < fibers.size(); ++i) {
      fibers[i] = boost_crew::spawn([&, i] { results[i] = example::walk(i, how.walk_steps); });
    }
    for (boost_crew::fiber& fiber : fibers) fiber.join();
  };
  return ns_per_unit(how, spawn_batch, [&](std::int64_t tasks) {
    for (std::int64_t begun = 0; begun < tasks; begun += spawn_batch) {
      crew.run_on_first(batch);
      for (std::size_t i = 0; i < results.size(); ++i) check(results[i] == end.from(i));
    }
  });
}
