// The question of skynet.cpp, put to Boost.Fiber: a child runs before its parent goes on, or there
// would be a million stacks.

#include "bench/workers/boost_crew.hpp"
#include "bench/workers/program.hpp"

#include <numeric>

namespace {

std::int64_t skynet(std::int64_t first, std::int64_t leaves) {
  if (leaves == 1) return first;
  std::int64_t sums[bench::skynet_children];
  bench::boost_crew::fiber children[bench::skynet_children];
  const std::int64_t share = leaves / bench::skynet_children;
  for (int i = 0; i < bench::skynet_children; ++i) {
    children[i] = bench::boost_crew::spawn(
        [&sum = sums[i], begin = first + i * share, share] { sum = skynet(begin, share); },
        boost::fibers::launch::dispatch);
  }
  for (bench::boost_crew::fiber& child : children) child.join();
  return std::accumulate(std::begin(sums), std::end(sums), std::int64_t{0});
}

}  // namespace

double bench::skynet_ms(const manner& how) {
  boost_crew crew(how.workers);
  return ms_per_skynet(how, [&](std::int64_t leaves) {
    std::int64_t sum = 0;
    crew.run_on_first([&] { sum = skynet(0, leaves); });
    return sum;
  });
}
