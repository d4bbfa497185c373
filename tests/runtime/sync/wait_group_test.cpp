// Go's WaitGroup.
#include "tests/runtime/support.hpp"

#include <atomic>
#include <memory>
#include <stdexcept>
#include <thread>

namespace coir::test {
namespace {

using wait_group_test = runtime_test;

TEST_F(wait_group_test, a_wait_ends_when_all_is_done_and_not_before) {
  wait_group work;
  int done = 0;
  for (int i = 0; i < 10; ++i) {
    work.add();
    spawn([&, i] {
      for (int n = 0; n < i; ++n) yield();
      ++done;
      work.done();
    });
  }
  EXPECT_EQ(work.count(), 10);
  work.wait();
  EXPECT_EQ(done, 10);
  EXPECT_EQ(work.count(), 0);
}

TEST_F(wait_group_test, a_wait_for_nothing_returns_at_once) {
  const wait_group work;
  work.wait();
  EXPECT_TRUE(work.wait_for(0ms));
  EXPECT_TRUE(work.wait_until(std::chrono::steady_clock::now() - 1s));
}

TEST_F(wait_group_test, all_waiters_go_on_in_order_of_arrival) {
  wait_group work;
  work.add(2);
  std::vector<int> order;
  std::vector<fiber<>> fibers;
  for (int i = 0; i < 5; ++i) {
    fibers.push_back(spawn([&, i] {
      work.wait();
      order.push_back(i);
    }));
  }
  yield();
  work.done();
  sleep(1ms);
  EXPECT_TRUE(order.empty());
  work.add(-1);
  joinall(fibers);
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4}));
}

TEST_F(wait_group_test, a_timed_wait_says_whether_all_was_done) {
  wait_group work;
  work.add();
  const stopwatch watch;
  EXPECT_FALSE(work.wait_for(20ms));
  expect_took(watch, 20ms);
  EXPECT_FALSE(work.wait_until(std::chrono::steady_clock::now() + 20ms));
  expect_took(watch, 40ms);
  fiber<bool> f = spawn([&] { return work.wait_for(10s); });
  yield();
  work.done();
  EXPECT_TRUE(f.get());
}

TEST_F(wait_group_test, a_counter_that_would_be_negative_is_an_error_and_stays_as_it_was) {
  wait_group work;
  EXPECT_THROW(work.done(), std::logic_error);
  work.add(2);
  EXPECT_THROW(work.add(-3), std::logic_error);
  EXPECT_EQ(work.count(), 2);
  EXPECT_THROW(work.add(PTRDIFF_MIN), std::logic_error);
  EXPECT_THROW(work.add(PTRDIFF_MAX), std::logic_error);
  EXPECT_EQ(work.count(), 2);
  work.add(-2);
  EXPECT_EQ(work.count(), 0);
}

TEST_F(wait_group_test, it_may_be_used_again) {
  wait_group work;
  for (int round = 0; round < 10; ++round) {
    work.add(3);
    for (int i = 0; i < 3; ++i) spawn([&] { work.done(); });
    work.wait();
    EXPECT_EQ(work.count(), 0);
  }
}

TEST_F(wait_group_test, a_wait_ends_at_the_first_zero_though_others_add_at_once) {
  wait_group work;
  work.add();
  fiber<> waiter = spawn([&] { work.wait(); });
  yield();
  work.done();
  work.add();
  EXPECT_TRUE(waiter.join_for(10s));
  EXPECT_FALSE(work.wait_for(0ms));
  work.done();
}

TEST_F(wait_group_test, a_killed_waiter_changes_nothing_for_the_others) {
  wait_group work;
  work.add();
  fiber<> killed = spawn([&] {
    work.wait();
    FAIL() << "went on after a kill";
  });
  fiber<> other = spawn([&] { work.wait(); });
  yield();
  killed.kill();
  EXPECT_EQ(work.count(), 1);
  work.done();
  EXPECT_TRUE(other.join_for(10s));
}

TEST_F(wait_group_test, work_on_threads_that_never_used_coir_is_waited_for) {
  for (int round = 0; round < scaled(200); ++round) {
    auto work = std::make_unique<wait_group>();
    std::atomic<int> done{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
      work->add();
      threads.emplace_back([&, raw = work.get()] {
        ++done;
        raw->done();
      });
    }
    fiber<> f = spawn([&] { work->wait(); });
    work->wait();
    EXPECT_EQ(done, 3);
    f.join();
    work.reset();  // though the last done may not have returned
    for (auto& t : threads) t.join();
  }
}

}  // namespace
}  // namespace coir::test
