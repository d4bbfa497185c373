/// What the programs of the workers benchmark share: their rows, how a row is timed, and that it
/// did its work. Each program is one library; the functions of the rows are defined by that library
/// and listed in main.cpp.
#pragma once

#include "examples/common/number_walk.hpp"

#include <chrono>
#include <cstdint>
#include <stdexcept>

namespace bench {

/// How a row is to run.
struct manner {
  int workers;               ///< threads that run fibers; two where a row needs two
  std::int64_t ns_min;       ///< the least that a row may measure over
  std::uint64_t walk_steps;  ///< of a task that computes, in rows that have such
};

// The questions are asked where the functions are defined. Each returns the figure that its name
// says, in the unit that its name says, and throws when the work was not done.
double cross_channel_round_trip_ns(const manner& how);
double unplaced_channel_round_trip_ns(const manner& how);
double cross_buffered_item_ns(const manner& how);
double cross_condition_round_trip_ns(const manner& how);
double contended_mutex_ns(const manner& how);
double spawn_from_outside_ns(const manner& how);
double parallel_spawn_ns(const manner& how);
double skynet_ms(const manner& how);

constexpr int channel_room = 128;
constexpr int mutex_fibers = 4;
constexpr std::int64_t spawn_batch = 10'000;
constexpr std::int64_t skynet_leaves = 1'000'000;
constexpr int skynet_children = 10;

/// Makes the program fail unless the work of a row `is_done`.
inline void check(bool is_done) {
  if (!is_done) throw std::runtime_error("the work was not done");
}

/// The sum of 0, 1... `count` - 1.
constexpr std::int64_t sum_below(std::int64_t count) { return count * (count - 1) / 2; }

/// How long `work()` takes by the clock on the wall.
template <class Work>
std::int64_t elapsed_ns(Work work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::nanoseconds(std::chrono::steady_clock::now() - begin).count();
}

/// What one unit takes, where `units(n)` does `n` of them: n grows from `first` until they take
/// as long as `how` wants, so what comes before, caches and first pages, does not count.
template <class Units>
double ns_per_unit(const manner& how, std::int64_t first, Units units) {
  constexpr std::int64_t growth_max = 10;
  for (std::int64_t count = first;;) {
    const std::int64_t ns = elapsed_ns([&] { units(count); });
    if (ns >= how.ns_min) return static_cast<double>(ns) / static_cast<double>(count);
    const std::int64_t wanted = 1 + how.ns_min * 5 / 4 / (ns + 1);
    count *= wanted < growth_max ? wanted + 1 : growth_max;
  }
}

/// What a run of skynet takes, the second one; `run(leaves)` returns its sum. Where `how` wants
/// next to no time, it is a small one.
template <class Run>
double ms_per_skynet(const manner& how, Run run) {
  constexpr std::int64_t small_leaves = 1000;
  constexpr std::int64_t ns_min_of_whole = 10'000'000;
  const std::int64_t leaves = how.ns_min < ns_min_of_whole ? small_leaves : skynet_leaves;
  std::int64_t ns = 0;
  for (int i = 0; i < 2; ++i) {
    ns = elapsed_ns([&] { check(run(leaves) == sum_below(leaves)); });
  }
  return static_cast<double>(ns) / 1e6;
}

}  // namespace bench
