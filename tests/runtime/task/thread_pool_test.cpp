// Blocking work on threads of a pool's own.
#include "tests/runtime/support.hpp"
#include "tests/runtime/task/gate.hpp"

#include <atomic>
#include <memory>
#include <ranges>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

namespace coir::test {
namespace {

using thread_pool_test = runtime_test;

TEST_F(thread_pool_test, values_and_exceptions_come_back_as_from_a_fiber) {
  const stderr_capture quiet;
  thread_pool p(2);
  EXPECT_EQ(p.spawn([](int a, int b) { return a + b; }, 1, 2).get(), 3);
  EXPECT_EQ(*p.spawn([](std::unique_ptr<int> n) { return n; }, std::make_unique<int>(4)).get(), 4);
  fiber<> failing = p.spawn([] { throw std::range_error("on a thread"); });
  EXPECT_THROW(failing.get(), std::range_error);
  EXPECT_THROW(failing.get(), std::range_error) << "as often as asked";
  EXPECT_FALSE(failing.successful());
  EXPECT_EQ(count_of(quiet.text(), "on a thread"), 1);
  fiber<> named = p.spawn({.name = "work"}, [] {});
  EXPECT_EQ(named.name(), "work");
  EXPECT_GT(named.id(), 0u);
}

TEST_F(thread_pool_test, a_fiber_that_waits_for_a_result_lets_others_run) {
  thread_pool p(1);
  std::atomic<bool> may_end{false};
  const fiber<> releaser = spawn([&] { may_end = true; });
  EXPECT_TRUE(p.apply([&] {
    const stopwatch watch;
    while (!may_end && watch.elapsed() < 10s) std::this_thread::sleep_for(1ms);
    return may_end.load();
  }));
  releaser.join();
}

TEST_F(thread_pool_test, a_get_that_timed_out_leaves_the_work_and_its_value_alone) {
  thread_pool p(1);
  gate g;
  fiber<int> work = p.spawn([&] {
    g.pass();
    return 6;
  });
  EXPECT_THROW(work.get_for(2ms), timeout);
  EXPECT_FALSE(work.ready());
  g.open();
  EXPECT_EQ(work.get_for(10s), 6);
}

TEST_F(thread_pool_test, work_runs_on_threads_of_the_pool) {
  thread_pool p(2);
  const auto here = std::this_thread::get_id();
  EXPECT_NE(p.apply([] { return std::this_thread::get_id(); }), here);
  EXPECT_EQ(p.size(), 1u);
}

TEST_F(thread_pool_test, no_thread_is_started_before_there_is_work_or_while_one_is_idle) {
  thread_pool p(8);
  EXPECT_EQ(p.size(), 0u);
  EXPECT_EQ(p.maxsize(), 8u);
  for (int i = 0; i < 50; ++i) p.apply([] {});
  EXPECT_EQ(p.size(), 1u);
}

TEST_F(thread_pool_test, as_many_run_at_a_time_as_there_are_threads) {
  thread_pool p(3);
  gate g;
  std::vector<fiber<>> work;
  for (int i = 0; i < 3; ++i) work.push_back(p.spawn([&] { g.pass(); }));
  EXPECT_TRUE(eventually([&] { return g.waiting() == 3; }));
  EXPECT_EQ(p.size(), 3u);
  EXPECT_EQ(p.unfinished(), 3u);
  EXPECT_TRUE(p.full());
  EXPECT_FALSE(p.try_spawn([] {}));
  EXPECT_THROW(p.spawn_for(5ms, [] {}), pool_full);
  g.open();
  EXPECT_EQ(joinall(work), 3u);
  EXPECT_EQ(p.free_count(), 3u);
}

TEST_F(thread_pool_test, a_spawn_waits_while_all_threads_are_taken) {
  thread_pool p(1);
  gate g;
  const fiber<> running = p.spawn([&] { g.pass(); });
  bool spawn_returned = false;
  const fiber<> spawner = spawn([&] {
    p.spawn([] {}).join();
    spawn_returned = true;
  });
  sleep(2ms);
  EXPECT_FALSE(spawn_returned);
  g.open();
  spawner.join();
  EXPECT_TRUE(spawn_returned);
}

TEST_F(thread_pool_test, when_the_maxsize_goes_from_0_to_1_queued_work_starts) {
  thread_pool p(0);
  std::atomic<int> done{0};
  std::vector<fiber<>> spawners;
  for (int i = 0; i < 3; ++i) spawners.push_back(spawn([&] { p.spawn([&] { ++done; }).join(); }));
  sleep(2ms);
  EXPECT_EQ(done, 0);
  EXPECT_EQ(p.size(), 0u);
  p.set_maxsize(1);
  EXPECT_EQ(joinall(spawners, 10s), 3u);
  EXPECT_EQ(done, 3);
  EXPECT_EQ(p.size(), 1u);
}

TEST_F(thread_pool_test, when_the_maxsize_goes_to_0_the_threads_end) {
  thread_pool p(3);
  gate g;
  std::vector<fiber<>> work;
  for (int i = 0; i < 3; ++i) work.push_back(p.spawn([&] { g.pass(); }));
  EXPECT_TRUE(eventually([&] { return g.waiting() == 3; }));
  p.set_maxsize(0);
  EXPECT_EQ(p.size(), 3u) << "not before their work is done";
  g.open();
  joinall(work);
  EXPECT_TRUE(eventually([&] { return p.size() == 0; }));
  p.set_maxsize(1);
  EXPECT_EQ(p.apply([] { return 1; }), 1);
}

TEST_F(thread_pool_test, work_that_a_smaller_maxsize_left_in_the_queue_goes_on_with_a_larger_one) {
  for (int round = 0; round < scaled(100); ++round) {
    thread_pool p(4);
    std::atomic<int> done{0};
    std::vector<fiber<>> work;
    for (int i = 0; i < 4; ++i) work.push_back(p.spawn([&] { ++done; }));
    p.set_maxsize(0);
    p.set_maxsize(2);
    EXPECT_EQ(joinall(work, 10s), 4u);
    EXPECT_EQ(done, 4);
  }
}

TEST_F(thread_pool_test, a_larger_maxsize_lets_spawners_in_at_once) {
  thread_pool p(1);
  gate g;
  const fiber<> first = p.spawn([&] { g.pass(); });
  const fiber<> spawner = spawn([&] { p.spawn([&] { g.pass(); }); });
  sleep(1ms);
  p.set_maxsize(2);
  EXPECT_TRUE(eventually([&] { return g.waiting() == 2; }));
  g.open();
  p.join();
}

TEST_F(thread_pool_test, idle_threads_end_after_their_time) {
  thread_pool p(3, 5ms);
  p.apply([] {});
  EXPECT_TRUE(eventually([&] { return p.size() == 0; }));
  EXPECT_EQ(p.apply([] { return 2; }), 2);
  for (int i = 0; i < scaled(200); ++i) {
    std::this_thread::sleep_for(i % 10 == 0 ? 5ms : 0ms);  // about when one decides to end
    EXPECT_EQ(p.apply([i] { return i; }), i);
  }
}

TEST_F(thread_pool_test, apply_from_inside_a_worker_of_the_same_pool_does_not_dead_lock) {
  for (const std::size_t size : {1u, 2u}) {
    thread_pool p(size);
    fiber<int> outer = p.spawn([&] { return p.apply([] { return 5; }) + 1; });
    ASSERT_TRUE(outer.join_for(10s));
    EXPECT_EQ(outer.get(), 6);
  }
}

TEST_F(thread_pool_test, work_may_spawn_into_its_own_pool_and_wait) {
  thread_pool p(2);
  EXPECT_EQ(p.apply([&] { return p.spawn([] { return 3; }).get(); }), 3);
  auto sums = p.map(
      [&](int n) {
        int sum = 0;
        for (int part : p.map([n](int i) { return n * i; }, std::vector{1, 2, 3})) sum += part;
        return sum;
      },
      std::vector{1, 10, 100});
  EXPECT_EQ(sums, (std::vector{6, 60, 600}));
}

TEST_F(thread_pool_test, nothing_is_kept_alive_after_the_work_is_done) {
  const stderr_capture quiet;
  thread_pool p(1);
  const auto token = std::make_shared<int>(0);
  // The thread lets go of what it has done a moment after whoever waits for it goes on
  const auto is_ours_alone = [&] { return eventually([&] { return token.use_count() == 1; }); };
  {
    fiber<std::shared_ptr<int>> f =
        p.spawn([token](std::shared_ptr<int> argument) { return argument; }, token);
    f.join();
    EXPECT_EQ(token.use_count(), 2) << "the result, which lives as long as its handle";
  }
  EXPECT_TRUE(is_ours_alone());
  p.apply([token] { return *token; });
  EXPECT_TRUE(is_ours_alone());
  try {
    p.apply([token] { throw token; });
  } catch (const std::shared_ptr<int>& thrown) {
    EXPECT_EQ(thrown, token);
  }
  EXPECT_TRUE(is_ours_alone());
  p.map([](const std::shared_ptr<int>&) {}, std::vector{token, token});
  EXPECT_TRUE(is_ours_alone());
}

TEST_F(thread_pool_test, map_keeps_order_and_the_first_error_is_thrown) {
  const stderr_capture quiet;
  thread_pool p(4);
  const auto square = [](int n) {
    std::this_thread::sleep_for((8 - n) * 1ms);
    if (n == 100) throw std::range_error("hundred");
    return n * n;
  };
  EXPECT_EQ(p.map(square, std::views::iota(0, 8)), (std::vector{0, 1, 4, 9, 16, 25, 36, 49}));
  EXPECT_THROW(p.map(square, std::vector{1, 100, 2}), std::range_error);
  EXPECT_TRUE(p.join_for(10s));
}

TEST_F(thread_pool_test, imap_yields_in_input_order_and_imap_unordered_as_work_ends) {
  thread_pool p(3);
  const auto body = [](int n) {
    std::this_thread::sleep_for(n * 10ms);
    return n;
  };
  std::vector<int> ordered;
  for (int n : p.imap(body, std::vector{5, 1, 3})) ordered.push_back(n);
  EXPECT_EQ(ordered, (std::vector{5, 1, 3}));
  std::multiset<int> unordered;
  for (int n : p.imap_unordered(body, std::vector{5, 1, 3, 1}, 2)) unordered.insert(n);
  EXPECT_EQ(unordered, (std::multiset{1, 1, 3, 5}));
}

TEST_F(thread_pool_test, leaving_an_imap_early_drops_what_has_not_begun) {
  thread_pool p(1);
  std::atomic<int> begun{0};
  {
    auto results = p.imap([&](int n) { return ++begun, n; }, std::views::iota(0, 1000), 2);
    EXPECT_EQ(results.next(), 0);
  }
  EXPECT_LE(begun, 4);
  EXPECT_EQ(p.free_count(), 1u);
}

TEST_F(thread_pool_test, callbacks_of_apply_async_run_on_the_callers_thread) {
  thread_pool p(1);
  std::thread::id seen;
  fiber<int> call =
      p.apply_async_then([&](int) { seen = std::this_thread::get_id(); }, [] { return 1; });
  p.join();
  EXPECT_EQ(seen, std::this_thread::get_id());
  EXPECT_EQ(call.get(), 1);
}

}  // namespace
}  // namespace coir::test
