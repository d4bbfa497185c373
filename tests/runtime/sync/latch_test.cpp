// A gate that opens once.
#include "tests/runtime/support.hpp"

#include <memory>
#include <stdexcept>
#include <thread>

namespace coir::test {
namespace {

using latch_test = runtime_test;

TEST_F(latch_test, it_opens_with_the_last_arrival_and_stays_open) {
  latch l(3);
  EXPECT_FALSE(l.try_wait());
  l.count_down();
  l.count_down(0);
  EXPECT_FALSE(l.try_wait());
  l.count_down(2);
  EXPECT_TRUE(l.try_wait());
  l.wait();
  EXPECT_TRUE(l.wait_for(0ms));
}

TEST_F(latch_test, one_that_expects_nobody_is_open_at_once) {
  const latch l(0);
  EXPECT_TRUE(l.try_wait());
  l.wait();
}

TEST_F(latch_test, all_waiters_go_on_in_order_of_arrival_and_not_before_the_last_arrival) {
  latch l(2);
  std::vector<int> order;
  std::vector<fiber<>> fibers;
  for (int i = 0; i < 5; ++i) {
    fibers.push_back(spawn([&, i] {
      l.wait();
      order.push_back(i);
    }));
  }
  yield();
  l.count_down();
  sleep(1ms);
  EXPECT_TRUE(order.empty());
  l.count_down();
  joinall(fibers);
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4}));
}

TEST_F(latch_test, those_who_arrive_and_wait_go_on_together) {
  latch l(10);
  int arrived = 0;
  std::vector<fiber<>> fibers;
  for (int i = 0; i < 9; ++i) {
    fibers.push_back(spawn([&] {
      ++arrived;
      l.arrive_and_wait();
      EXPECT_EQ(arrived, 10);
    }));
  }
  sleep(1ms);
  EXPECT_EQ(arrived, 9);
  EXPECT_FALSE(l.try_wait());
  ++arrived;
  l.arrive_and_wait();
  EXPECT_EQ(joinall(fibers, 10s), 9u);
}

TEST_F(latch_test, a_timed_wait_says_whether_it_opened) {
  latch l(1);
  const stopwatch watch;
  EXPECT_FALSE(l.wait_for(20ms));
  expect_took(watch, 20ms);
  EXPECT_FALSE(l.wait_until(std::chrono::steady_clock::now() + 20ms));
  expect_took(watch, 40ms);
  EXPECT_FALSE(l.wait_for(0ms));
  fiber<bool> f = spawn([&] { return l.wait_for(10s); });
  yield();
  l.count_down();
  EXPECT_TRUE(f.get());
}

TEST_F(latch_test, arrivals_that_are_not_expected_are_an_error_and_do_not_count) {
  EXPECT_THROW(latch(-1), std::invalid_argument);
  latch l(2);
  EXPECT_THROW(l.count_down(3), std::logic_error);
  EXPECT_THROW(l.count_down(-1), std::invalid_argument);
  EXPECT_THROW(l.count_down(PTRDIFF_MIN), std::invalid_argument);
  EXPECT_FALSE(l.try_wait());
  l.count_down(2);
  EXPECT_TRUE(l.try_wait());
  EXPECT_THROW(l.count_down(), std::logic_error);
  EXPECT_EQ(latch::max(), PTRDIFF_MAX);
}

TEST_F(latch_test, a_waiter_that_is_killed_has_arrived_all_the_same) {
  latch l(2);
  fiber<> killed = spawn([&] {
    l.arrive_and_wait();
    FAIL() << "went on after a kill";
  });
  fiber<> other = spawn([&] { l.wait(); });
  yield();
  killed.kill();
  l.count_down();
  EXPECT_TRUE(other.join_for(10s));
}

TEST_F(latch_test, threads_that_never_used_coir_open_it_for_fibers_of_several_workers) {
  for (int round = 0; round < scaled(200); ++round) {
    auto l = std::make_unique<latch>(4);
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) threads.emplace_back([&l = *l] { l.count_down(); });
    std::thread worker([&l = *l] { l.arrive_and_wait(); });
    fiber<> f = spawn([&] { l->wait(); });
    l->wait();
    f.join();
    for (auto& t : threads) t.join();
    worker.join();
  }
}

TEST_F(latch_test, one_whose_wait_has_returned_may_destroy_it) {
  for (int round = 0; round < scaled(500); ++round) {
    auto l = std::make_unique<latch>(1);
    std::thread thread([raw = l.get()] { raw->count_down(); });
    l->wait();
    l.reset();
    thread.join();
  }
}

}  // namespace
}  // namespace coir::test
