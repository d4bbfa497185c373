// Runs one row of the workers benchmark; the library that is linked in defines the rows.

#include "bench/workers/program.hpp"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <limits>
#include <system_error>
#include <thread>
#include <vector>

#include <unistd.h>

namespace {

using bench::manner;

constexpr char usage[] =
    "usage: NAME ROW WORKERS MILLISECONDS STEPS   prints the figure of the row\n"
    "       NAME calibrate NANOSECONDS            prints how many steps take so long\n";
constexpr unsigned life_seconds_max = 300;
constexpr int exit_unavailable = 77;  // the backend that COIR_BACKEND asks for cannot be had here

// How much faster are two plain threads than one? The most that any library can reach here. One
// unit is a walk of walk_steps; each thread does an equal share of them.
double plain_threads_ns(const manner& how) {
  const example::walk_end end(how.walk_steps);
  return bench::ns_per_unit(how, how.workers, [&](std::int64_t units) {
    std::vector<std::thread> threads;
    std::vector<std::uint64_t> sums(static_cast<std::size_t>(how.workers), 0);
    const std::uint64_t share = static_cast<std::uint64_t>(units / how.workers);
    for (std::uint64_t& sum : sums) {
      threads.emplace_back([&how, &sum, share] {
        std::uint64_t own = 0;
        for (std::uint64_t i = 0; i < share; ++i) own += example::walk(i, how.walk_steps);
        sum = own;
      });
    }
    for (std::thread& thread : threads) thread.join();
    std::uint64_t expected = 0;
    for (std::uint64_t i = 0; i < share; ++i) expected += end.from(i);
    for (const std::uint64_t sum : sums) bench::check(sum == expected);
  });
}

// How long does a cache line take to another processor and back? Two plain threads that never sleep
// pass a number over it; no library can cross workers faster. One unit is a round trip.
double plain_round_trip_ns(const manner& how) {
  return bench::ns_per_unit(how, 1000, [&](std::int64_t trips) {
    std::atomic<std::int64_t> passed = 0;
    const auto pass = [&passed, trips](std::int64_t side) {
      constexpr int looks_before_yield = 10'000;  // there may be other work on the processor
      for (std::int64_t turn = side; turn < 2 * trips; turn += 2) {
        for (int looks = 1; passed.load(std::memory_order_acquire) != turn; ++looks) {
          if (looks % looks_before_yield == 0) std::this_thread::yield();
        }
        passed.store(turn + 1, std::memory_order_release);
      }
    };
    std::thread other(pass, 1);
    pass(0);
    other.join();
    bench::check(passed == 2 * trips);
  });
}

struct row {
  const char* name;
  double (*measure)(const manner& how);
};

constexpr row rows[] = {
    {"plain_threads_ns", plain_threads_ns},
    {"plain_round_trip_ns", plain_round_trip_ns},
    {"cross_channel_round_trip_ns", bench::cross_channel_round_trip_ns},
    {"unplaced_channel_round_trip_ns", bench::unplaced_channel_round_trip_ns},
    {"cross_buffered_item_ns", bench::cross_buffered_item_ns},
    {"cross_condition_round_trip_ns", bench::cross_condition_round_trip_ns},
    {"contended_mutex_ns", bench::contended_mutex_ns},
    {"spawn_from_outside_ns", bench::spawn_from_outside_ns},
    {"parallel_spawn_ns", bench::parallel_spawn_ns},
    {"skynet_ms", bench::skynet_ms},
};

/// The steps of a walk of `ns`, by the fastest of many short walks: what disturbs one makes it
/// longer, nothing makes it shorter.
std::uint64_t calibrate(double ns) {
  constexpr std::uint64_t steps = 20'000;
  constexpr int walks = 2'000;
  const example::walk_end end(steps);
  std::int64_t fastest_ns = std::numeric_limits<std::int64_t>::max();
  for (std::uint64_t i = 0; i < walks; ++i) {
    std::uint64_t reached = 0;
    fastest_ns =
        std::min(fastest_ns, bench::elapsed_ns([&] { reached = example::walk(i, steps); }));
    bench::check(reached == end.from(i));
  }
  return static_cast<std::uint64_t>(ns * steps / static_cast<double>(fastest_ns));
}

int run(int argc, char** argv) {
  if (argc == 3 && std::strcmp(argv[1], "calibrate") == 0) {
    std::printf("%llu\n", static_cast<unsigned long long>(calibrate(std::atof(argv[2]))));
    return 0;
  }
  const auto named = [&](const row& one) { return std::strcmp(one.name, argv[1]) == 0; };
  const row* const chosen = argc == 5 ? std::find_if(rows, std::end(rows), named) : std::end(rows);
  if (chosen == std::end(rows)) {
    std::fputs(usage, stderr);
    return 2;
  }
  const manner how{std::atoi(argv[2]), std::atoll(argv[3]) * 1'000'000,
                   std::strtoull(argv[4], nullptr, 10)};
  std::printf("%.3f\n", chosen->measure(how));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  alarm(life_seconds_max);
  try {
    return run(argc, argv);
  } catch (const std::system_error& error) {
    std::fprintf(stderr, "%s: %s\n", argc > 1 ? argv[1] : argv[0], error.what());
    return exit_unavailable;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", argc > 1 ? argv[1] : argv[0], error.what());
    return 1;
  }
}
