// Memory of tasks: whoever makes, ends and drops them, it is right, and it does not grow.
#include "tests/runtime/support.hpp"

#include <coir/fiber.hpp>
#include <coir/wait_group.hpp>
#include <coir/workers.hpp>

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

#include <malloc.h>

namespace coir::test {
namespace {

using task_memory_test = runtime_test;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool allocator_counts = false;
#else
constexpr bool allocator_counts = true;
#endif

constexpr char no_counts[] = "the sanitizer has an allocator of its own";

/// What the program has of its allocator.
std::size_t bytes_in_use() {
  const auto all = ::mallinfo2();
  return all.uordblks + all.hblkhd;
}

template <std::size_t Size>
struct filled {
  std::array<unsigned char, Size> bytes;
  explicit filled(unsigned char with) { bytes.fill(with); }
  bool is_all(unsigned char with) const {
    for (const unsigned char byte : bytes)
      if (byte != with) return false;
    return true;
  }
};

template <std::size_t Size>
void add_fibers_that_hold(std::vector<fiber<bool>>& fibers) {
  for (unsigned char with = 0; with < 100; ++with) {
    fibers.push_back(spawn([held = filled<Size>(with), with] {
      yield();
      return held.is_all(with);
    }));
  }
}

TEST_F(task_memory_test, what_functions_hold_stays_whole_whatever_its_size) {
  for (int round = 0; round < 5; ++round) {
    std::vector<fiber<bool>> fibers;
    add_fibers_that_hold<1>(fibers);
    add_fibers_that_hold<40>(fibers);
    add_fibers_that_hold<100>(fibers);
    add_fibers_that_hold<300>(fibers);
    add_fibers_that_hold<310>(fibers);
    add_fibers_that_hold<500>(fibers);
    add_fibers_that_hold<5000>(fibers);
    for (fiber<bool>& f : fibers) EXPECT_TRUE(f.get());
  }
}

struct alignas(256) aligned_value {
  int number = 7;
};

TEST_F(task_memory_test, what_needs_an_alignment_has_it) {
  for (int i = 0; i < 20; ++i) {
    const std::uintptr_t address =
        spawn([value = aligned_value()] { return reinterpret_cast<std::uintptr_t>(&value); }).get();
    EXPECT_EQ(address % alignof(aligned_value), 0U);
  }
}

void spawn_and_wait(workers& set, std::size_t count) {
  wait_group left;
  left.add(static_cast<std::ptrdiff_t>(count));
  for (std::size_t i = 0; i < count; ++i) set.spawn([&] { left.done(); });
  left.wait();
}

TEST_F(task_memory_test, tasks_of_one_thread_that_end_on_others_do_not_add_up) {
  workers set(2);
  constexpr std::size_t batch = 1000;
  for (int i = 0; i < 20; ++i) spawn_and_wait(set, batch);
  const std::size_t before = bytes_in_use();
  for (int i = 0; i < 200; ++i) spawn_and_wait(set, batch);
  constexpr std::size_t task_bytes_max = 512;
  if (!allocator_counts) GTEST_SKIP() << no_counts;
  EXPECT_LT(bytes_in_use(), before + 10 * batch * task_bytes_max);
}

TEST_F(task_memory_test, threads_leave_nothing_behind) {
  const auto live_once = [] {
    std::thread([] {
      std::vector<fiber<>> fibers;
      for (int i = 0; i < 200; ++i) fibers.push_back(spawn([] { yield(); }));
      joinall(fibers);
    }).join();
  };
  for (int i = 0; i < 20; ++i) live_once();
  const std::size_t before = bytes_in_use();
  constexpr std::size_t lives = 200;
  for (std::size_t i = 0; i < lives; ++i) live_once();
  constexpr std::size_t bytes_per_life = 200 * 128;
  if (!allocator_counts) GTEST_SKIP() << no_counts;
  EXPECT_LT(bytes_in_use(), before + lives * bytes_per_life / 10);
}

TEST_F(task_memory_test, what_a_burst_took_is_given_back) {
  if (!allocator_counts) GTEST_SKIP() << no_counts;
  constexpr std::size_t task_bytes_min = 128;
  workers set(1);
  spawn_and_wait(set, 1000);
  const std::size_t before = bytes_in_use();
  constexpr std::size_t burst = 200'000;
  std::atomic<bool> are_all_there{false};
  set.spawn([&] {
    while (!are_all_there) std::this_thread::yield();  // keeps its worker
  });
  wait_group left;
  left.add(burst);
  for (std::size_t i = 0; i < burst; ++i) set.spawn([&] { left.done(); });
  EXPECT_GT(bytes_in_use(), before + burst * task_bytes_min);
  are_all_there = true;
  left.wait();
  set.join();
  EXPECT_LT(bytes_in_use(), before + burst * task_bytes_min) << "not all of it is kept";
}

}  // namespace
}  // namespace coir::test
