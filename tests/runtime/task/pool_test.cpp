// A bound on how many fibers run at a time.
#include "tests/runtime/support.hpp"

#include <algorithm>
#include <atomic>
#include <ranges>
#include <stdexcept>
#include <thread>

namespace coir::test {
namespace {

using pool_test = runtime_test;

TEST_F(pool_test, a_pool_of_no_size_is_refused) { EXPECT_THROW(pool(0), std::invalid_argument); }

TEST_F(pool_test, the_free_count_drops_with_a_spawn_and_rises_after_the_end) {
  pool p(2);
  EXPECT_EQ(p.free_count(), 2u);
  event go;
  fiber<> one = p.spawn([&] { go.wait(); });
  EXPECT_EQ(p.free_count(), 1u);
  EXPECT_EQ(p.size(), 1u);
  fiber<> two = p.spawn([&] { go.wait(); });
  EXPECT_EQ(p.free_count(), 0u);
  EXPECT_EQ(p.size(), 2u);
  go.set();
  one.join();
  two.join();
  EXPECT_EQ(p.free_count(), 2u);
  EXPECT_EQ(p.size(), 0u);
}

TEST_F(pool_test, the_third_fiber_of_a_pool_of_two_waits_for_a_slot) {
  pool p(2);
  event first_may_end;
  event second_may_end;
  p.spawn([&] { first_may_end.wait(); });
  p.spawn([&] { second_may_end.wait(); });
  bool third_has_run = false;
  bool spawn_returned = false;
  fiber<> spawner = spawn([&] {
    p.spawn([&] { third_has_run = true; });
    spawn_returned = true;
  });
  sleep(5ms);
  EXPECT_FALSE(spawn_returned);
  EXPECT_FALSE(third_has_run);
  second_may_end.set();
  spawner.join();
  EXPECT_TRUE(spawn_returned);
  EXPECT_TRUE(eventually([&] { return third_has_run; }));
  first_may_end.set();
  p.join();
}

TEST_F(pool_test, spawners_get_their_slots_in_order_of_arrival) {
  pool p(1);
  std::vector<int> order;
  std::vector<fiber<>> spawners;
  for (int i = 0; i < 20; ++i) {
    spawners.push_back(spawn([&, i] {
      p.spawn([&, i] {
        order.push_back(i);
        yield();
      });
    }));
  }
  joinall(spawners);
  p.join();
  EXPECT_TRUE(std::ranges::is_sorted(order));
  EXPECT_EQ(order.size(), 20u);
}

TEST_F(pool_test, join_of_an_empty_pool_returns_at_once) {
  pool p(3);
  const stopwatch watch;
  p.join();
  EXPECT_TRUE(p.join_for(10s));
  expect_prompt(watch);
}

TEST_F(pool_test, join_for_is_false_while_members_run_and_true_after) {
  pool p(3);
  p.spawn([] { sleep(50ms); });
  const stopwatch watch;
  EXPECT_FALSE(p.join_for(10ms));
  expect_took(watch, 10ms);
  EXPECT_TRUE(p.join_for(10s));
  EXPECT_EQ(p.size(), 0u);
}

TEST_F(pool_test, a_killed_member_gives_its_slot_back) {
  pool p(1);
  fiber<> member = p.spawn([] { sleep(1h); });
  yield();
  member.kill();
  EXPECT_EQ(p.free_count(), 1u);
  EXPECT_EQ(p.spawn([] { return 1; }).get(), 1);
}

TEST_F(pool_test, a_member_killed_before_it_begins_gives_its_slot_back) {
  pool p(1);
  p.spawn([] { FAIL() << "a killed fiber runs"; }).kill();
  EXPECT_EQ(p.free_count(), 1u);
  p.join();
}

TEST_F(pool_test, a_member_that_fails_gives_its_slot_back) {
  stderr_capture quiet;
  pool p(1);
  fiber<> member = p.spawn([] { throw std::runtime_error("failed"); });
  EXPECT_THROW(member.get(), std::runtime_error);
  EXPECT_EQ(p.free_count(), 1u);
}

TEST_F(pool_test, a_spawner_killed_while_it_waits_takes_no_slot) {
  pool p(1);
  fiber<> member = p.spawn([] { sleep(1h); });
  fiber<> spawner = spawn([&] { p.spawn([] { FAIL() << "the spawner was killed"; }); });
  yield();
  spawner.kill();
  member.kill();
  EXPECT_EQ(p.free_count(), 1u);
  EXPECT_EQ(p.size(), 0u);
}

TEST_F(pool_test, the_destructor_waits_for_the_members) {
  int ended = 0;
  {
    pool p;
    for (int i = 0; i < 10; ++i) {
      p.spawn([&] {
        sleep(5ms);
        ++ended;
      });
    }
  }
  EXPECT_EQ(ended, 10);
}

TEST_F(pool_test, map_keeps_the_order_and_the_bound) {
  pool p(3);
  int running = 0;
  int running_max = 0;
  auto results = p.map(
      [&](int n) {
        running_max = std::max(running_max, ++running);
        sleep((10 - n) * 1ms);
        --running;
        return n * n;
      },
      std::views::iota(0, 10));
  EXPECT_EQ(results, (std::vector<int>{0, 1, 4, 9, 16, 25, 36, 49, 64, 81}));
  EXPECT_EQ(running_max, 3);
}

TEST_F(pool_test, map_without_results_waits_for_all) {
  pool p(2);
  int sum = 0;
  p.map(
      [&](int n) {
        yield();
        sum += n;
      },
      std::vector{1, 2, 3, 4});
  EXPECT_EQ(sum, 10);
}

TEST_F(pool_test, map_over_nothing_gives_nothing) {
  pool p(2);
  EXPECT_TRUE(p.map([](int n) { return n; }, std::vector<int>{}).empty());
}

TEST_F(pool_test, map_throws_the_first_error_in_order_after_all_have_ended) {
  stderr_capture quiet;
  pool p(10);
  int ended = 0;
  auto body = [&](int n) {
    sleep((10 - n) * 2ms);  // later items end earlier
    ++ended;
    if (n == 3) throw std::runtime_error("three");
    if (n == 7) throw std::logic_error("seven");
    return n;
  };
  EXPECT_THROW(p.map(body, std::views::iota(0, 10)), std::runtime_error);
  EXPECT_EQ(ended, 10);
  EXPECT_EQ(p.free_count(), 10u);
}

TEST_F(pool_test, map_throws_the_error_of_its_input_and_ends_what_it_began) {
  pool p(10);
  auto input = std::views::iota(0, 5) | std::views::transform([](int n) {
                 if (n == 3) throw std::out_of_range("input");
                 return n;
               });
  EXPECT_THROW(p.map([](int) { sleep(1h); }, input), std::out_of_range);
  EXPECT_EQ(p.free_count(), 10u);
  EXPECT_EQ(fiber_count(), 0u);
}

TEST_F(pool_test, a_killed_map_ends_what_it_began) {
  pool p(4);
  int unwound = 0;
  fiber<> mapper = spawn([&] {
    p.map(
        [&](int) {
          try {
            sleep(1h);
          } catch (const fiber_exit&) {
            ++unwound;
            throw;
          }
        },
        std::vector{1, 2, 3});
  });
  sleep(1ms);
  mapper.kill();
  EXPECT_EQ(unwound, 3);
  EXPECT_EQ(p.size(), 0u);
}

TEST_F(pool_test, pools_nest) {
  pool outer(2);
  auto sums = outer.map(
      [](int n) {
        pool inner(2);
        int sum = 0;
        for (const int part : inner.map([n](int i) { return n * i; }, std::vector{1, 2, 3}))
          sum += part;
        return sum;
      },
      std::vector{1, 10, 100});
  EXPECT_EQ(sums, (std::vector<int>{6, 60, 600}));
}

TEST_F(pool_test, an_unbounded_pool_never_waits) {
  pool p;
  event go;
  for (int i = 0; i < 1000; ++i) p.spawn([&] { go.wait(); });
  EXPECT_EQ(p.size(), 1000u);
  go.set();
  p.join();
}

TEST_F(pool_test, several_threads_share_one_pool) {
  pool p(4);
  std::atomic<int> running{0};
  std::atomic<int> running_max{0};
  std::atomic<int> total{0};
  auto use = [&] {
    for (int i = 0; i < 50; ++i) {
      p.spawn([&] {
        const int now = ++running;
        for (int seen = running_max; seen < now && !running_max.compare_exchange_weak(seen, now);) {
        }
        sleep(1ms);
        --running;
        ++total;
      });
    }
    p.join();
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) threads.emplace_back(use);
  for (auto& t : threads) t.join();
  EXPECT_EQ(total, 150);
  EXPECT_LE(running_max, 4);
}

}  // namespace
}  // namespace coir::test
