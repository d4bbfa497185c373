// What does it cost to hand tasks to workers, and how much faster are two of them?

#include "bench/workers/program.hpp"

#include <coir/coir.hpp>

#include <algorithm>
#include <numeric>
#include <vector>

namespace {

/// Spawns the tasks of a batch and waits for all; each leaves its number in its place.
void spawn_and_wait(coir::workers& crew, std::vector<std::int64_t>& results) {
  coir::wait_group left;
  left.add(static_cast<std::ptrdiff_t>(results.size()));
  for (std::size_t i = 0; i < results.size(); ++i) {
    crew.spawn([&left, &result = results[i], i] {
      result = static_cast<std::int64_t>(i);
      left.done();
    });
  }
  left.wait();
}

}  // namespace

// One unit is a tiny task, spawned into two workers by a thread that is none of them, 10,000 at a
// time, until all have ended.
double bench::spawn_from_outside_ns(const manner& how) {
  coir::workers crew(2);
  std::vector<std::int64_t> results(spawn_batch);
  return ns_per_unit(how, spawn_batch, [&](std::int64_t tasks) {
    for (std::int64_t begun = 0; begun < tasks; begun += spawn_batch) {
      std::fill(results.begin(), results.end(), 0);
      spawn_and_wait(crew, results);
      check(std::accumulate(results.begin(), results.end(), std::int64_t{0}) ==
            sum_below(spawn_batch));
    }
  });
}

// One unit is a task that computes for 2 us, spawned by a fiber of the crew, 10,000 at a time, and
// joined. The figures for one worker and for two tell the speed-up.
double bench::parallel_spawn_ns(const manner& how) {
  coir::workers crew(static_cast<std::size_t>(how.workers));
  const example::walk_end end(how.walk_steps);
  const auto batch = [&] {
    std::vector<coir::fiber<std::uint64_t>> tasks;
    for (std::uint64_t i = 0; i < spawn_batch; ++i) {
      tasks.push_back(crew.spawn(example::walk, i, how.walk_steps));
    }
    for (std::uint64_t i = 0; i < spawn_batch; ++i) check(tasks[i].get() == end.from(i));
  };
  return ns_per_unit(how, spawn_batch, [&](std::int64_t tasks) {
    for (std::int64_t begun = 0; begun < tasks; begun += spawn_batch) crew.spawn(batch).get();
  });
}
