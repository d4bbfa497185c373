// How fast do a million fibers come and go on one worker and on two?

#include "bench/workers/program.hpp"

#include <coir/coir.hpp>

namespace {

/// The sum of `leaves` numbers from `first` on: each level has ten children that sum up a tenth.
std::int64_t skynet(std::int64_t first, std::int64_t leaves) {
  if (leaves == 1) return first;
  coir::workers& crew = *coir::workers::current();
  coir::fiber<std::int64_t> children[bench::skynet_children];
  const std::int64_t share = leaves / bench::skynet_children;
  for (int i = 0; i < bench::skynet_children; ++i) {
    children[i] = crew.spawn(skynet, first + i * share, share);
  }
  std::int64_t sum = 0;
  for (coir::fiber<std::int64_t>& child : children) sum += child.get();
  return sum;
}

}  // namespace

// One unit is the whole tree: 1,000,000 leaves, 1,111,111 fibers.
double bench::skynet_ms(const manner& how) {
  coir::workers crew(static_cast<std::size_t>(how.workers));
  return ms_per_skynet(
      how, [&](std::int64_t leaves) { return crew.spawn(skynet, std::int64_t{0}, leaves).get(); });
}
