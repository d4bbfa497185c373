// apply, map and imap in a pool.
#include "tests/runtime/support.hpp"

#include <algorithm>
#include <atomic>
#include <memory>
#include <ranges>
#include <stdexcept>
#include <thread>

namespace coir::test {
namespace {

using map_test = runtime_test;

TEST_F(map_test, apply_returns_the_value_or_rethrows) {
  const stderr_capture quiet;
  pool p(2);
  EXPECT_EQ(p.apply([](int a, int b) { return a + b; }, 1, 2), 3);
  EXPECT_EQ(*p.apply([](std::unique_ptr<int> n) { return n; }, std::make_unique<int>(4)), 4);
  int calls = 0;
  p.apply([&] { ++calls; });
  EXPECT_EQ(calls, 1);
  EXPECT_THROW(p.apply([] { throw std::range_error("applied"); }), std::range_error);
}

TEST_F(map_test, apply_runs_in_a_member) {
  pool p(1);
  const auto here = this_fiber::id();
  EXPECT_NE(p.apply([] { return this_fiber::id(); }), here);
  EXPECT_EQ(p.apply([&] { return p.size(); }), 1u);
}

TEST_F(map_test, apply_from_inside_a_full_pool_of_size_1_runs_inline) {
  pool p(1);
  const fiber<bool> outer = p.spawn([&] {
    const auto self = this_fiber::id();
    return p.apply([&] { return this_fiber::id() == self && p.full(); });
  });
  ASSERT_TRUE(outer.join_for(10s));
  EXPECT_TRUE(fiber<bool>(outer).get());
  const fiber<int> thrower = p.spawn([&] {
    try {
      p.apply([] { throw 5; });
      return 0;
    } catch (int n) {
      return n;
    }
  });
  EXPECT_EQ(fiber<int>(thrower).get(), 5);
}

TEST_F(map_test, apply_from_inside_a_group_runs_inline) {
  group g;
  const fiber<bool> outer = g.spawn([&] {
    const auto self = this_fiber::id();
    return g.apply([&] { return this_fiber::id() == self; });
  });
  EXPECT_TRUE(fiber<bool>(outer).get());
}

TEST_F(map_test, apply_async_returns_at_once_even_when_the_pool_is_full) {
  pool p(1);
  event go;
  p.spawn([&] { go.wait(); });
  std::vector<fiber<int>> calls;
  for (int i = 0; i < 3; ++i) calls.push_back(p.apply_async([](int n) { return n * n; }, i));
  for (const auto& call : calls) EXPECT_FALSE(call.join_for(1ms));
  go.set();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(calls[static_cast<std::size_t>(i)].get(), i * i);
}

TEST_F(map_test, apply_async_is_a_spawn_while_there_is_a_place) {
  pool p(1);
  event go;
  const fiber<> call = p.apply_async([&] { go.wait(); });
  EXPECT_TRUE(p.contains(call));
  EXPECT_EQ(p.free_count(), 0u);
  go.set();
  call.join();
}

TEST_F(map_test, join_waits_for_calls_that_wait_for_a_place) {
  pool p(1);
  int ran = 0;
  for (int i = 0; i < 5; ++i) {
    p.apply_async([&] {
      sleep(1ms);
      ++ran;
    });
  }
  p.join();
  EXPECT_EQ(ran, 5);
}

TEST_F(map_test, the_destructor_waits_for_calls_that_wait_for_a_place) {
  int ran = 0;
  int seen = 0;
  {
    pool p(1);
    for (int i = 0; i < 5; ++i) p.apply_async([&] { ++ran; });
    p.map_async([&](int n) { seen += n; }, std::vector{1, 2, 3});
  }
  EXPECT_EQ(ran, 5);
  EXPECT_EQ(seen, 6);
}

TEST_F(map_test, the_callback_of_apply_async_gets_the_value) {
  pool p(1);
  int got = 0;
  int calls = 0;
  fiber<int> call = p.apply_async_then([&](int n) { got = n; }, [](int n) { return n + 1; }, 6);
  p.apply_async_then([&] { ++calls; }, [] {});
  p.join();
  EXPECT_EQ(call.get(), 7);
  EXPECT_EQ(got, 7);
  EXPECT_EQ(calls, 1);
}

TEST_F(map_test, the_callback_of_a_call_that_failed_or_was_killed_is_not_called) {
  const stderr_capture quiet;
  pool p(2);
  int calls = 0;
  p.apply_async_then([&](int) { ++calls; }, []() -> int { throw std::range_error("no value"); });
  const fiber<int> killed = p.apply_async_then([&](int) { ++calls; },
                                               [] {
                                                 sleep(1h);
                                                 return 1;
                                               });
  yield();
  killed.kill();
  p.join();
  EXPECT_EQ(calls, 0);
}

TEST_F(map_test, map_keeps_the_order_and_the_bound) {
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

TEST_F(map_test, map_without_results_waits_for_all) {
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

TEST_F(map_test, map_over_nothing_gives_nothing) {
  pool p(2);
  EXPECT_TRUE(p.map([](int n) { return n; }, std::vector<int>{}).empty());
}

TEST_F(map_test, map_throws_the_first_error_in_order_after_all_have_ended) {
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

TEST_F(map_test, map_throws_the_error_of_its_input_and_ends_what_it_began) {
  pool p(10);
  auto input = std::views::iota(0, 5) | std::views::transform([](int n) {
                 if (n == 3) throw std::out_of_range("input");
                 return n;
               });
  EXPECT_THROW(p.map([](int) { sleep(1h); }, input), std::out_of_range);
  EXPECT_EQ(p.free_count(), 10u);
  EXPECT_EQ(fiber_count(), 0u);
}

TEST_F(map_test, a_killed_map_ends_what_it_began) {
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

TEST_F(map_test, pools_nest) {
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

TEST_F(map_test, items_and_results_need_no_copy) {
  pool p(2);
  auto numbers = std::views::iota(1, 4) |
                 std::views::transform([](int n) { return std::make_unique<int>(n); });
  auto doubled =
      p.map([](std::unique_ptr<int>& n) { return std::make_unique<int>(*n * 2); }, numbers);
  ASSERT_EQ(doubled.size(), 3u);
  EXPECT_EQ(*doubled[2], 6);
}

TEST_F(map_test, bits_are_mapped_like_anything) {
  pool p(2);
  const std::vector<bool> bits{true, false, true};
  EXPECT_EQ(p.map([](bool bit) { return !bit; }, bits), (std::vector<bool>{false, true, false}));
}

TEST_F(map_test, map_from_inside_a_full_pool_makes_the_calls_itself) {
  pool p(1);
  const auto square = [](int n) {
    yield();
    return n * n;
  };
  fiber<std::vector<int>> outer = p.spawn([&] { return p.map(square, std::vector{1, 2, 3}); });
  ASSERT_TRUE(outer.join_for(10s));
  EXPECT_EQ(outer.get(), (std::vector{1, 4, 9}));
  fiber<> failing = p.spawn([&] {
    EXPECT_THROW(p.map([](int) { throw std::range_error("inside"); }, std::vector{1}),
                 std::range_error);
  });
  failing.join();
}

TEST_F(map_test, map_in_every_member_of_a_full_pool_comes_to_its_end) {
  pool p(2);
  auto sums = p.map(
      [&](int n) {
        int sum = 0;
        for (const int part : p.map([n](int i) { return n * i; }, std::vector{1, 2, 3}))
          sum += part;
        return sum;
      },
      std::vector{1, 10, 100, 1000});
  EXPECT_EQ(sums, (std::vector{6, 60, 600, 6000}));
}

TEST_F(map_test, map_async_is_a_fiber_with_the_results) {
  pool p(2);
  const std::vector<int> numbers{1, 2, 3};
  fiber<std::vector<int>> squares = p.map_async([](int n) { return n * n; }, numbers);
  EXPECT_FALSE(squares.ready());
  EXPECT_EQ(squares.get(), (std::vector{1, 4, 9}));
  std::vector<int> seen;
  p.map_async([](int n) { return -n; }, std::vector{1, 2}, [&](const auto& all) { seen = all; })
      .join();
  EXPECT_EQ(seen, (std::vector{-1, -2}));
  bool is_called = false;
  p.map_async([](int) {}, std::vector{1, 2}, [&] { is_called = true; });
  p.join();
  EXPECT_TRUE(is_called);
}

TEST_F(map_test, map_async_fails_as_map_throws) {
  const stderr_capture quiet;
  pool p(2);
  bool is_called = false;
  fiber<> failing = p.map_async([](int) { throw std::range_error("mapped"); }, std::vector{1, 2},
                                [&] { is_called = true; });
  EXPECT_THROW(failing.get(), std::range_error);
  EXPECT_FALSE(is_called);
}

TEST_F(map_test, map_in_a_group_runs_all_at_once) {
  group g;
  int running = 0;
  int running_max = 0;
  g.map(
      [&](int) {
        running_max = std::max(running_max, ++running);
        yield();
        --running;
      },
      std::views::iota(0, 50));
  EXPECT_EQ(running_max, 50);
}

}  // namespace
}  // namespace coir::test
