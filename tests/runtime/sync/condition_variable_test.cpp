// Waiting for a condition under a mutex.
#include "tests/runtime/support.hpp"

#include <thread>

namespace coir::test {
namespace {

using condition_variable_test = runtime_test;

TEST_F(condition_variable_test, a_notification_without_waiters_is_lost) {
  mutex m;
  condition_variable condition;
  condition.notify_one();
  condition.notify_all();
  std::unique_lock lock(m);
  EXPECT_EQ(condition.wait_for(lock, 5ms), std::cv_status::timeout);
}

TEST_F(condition_variable_test, notify_one_wakes_waiters_in_order_of_arrival) {
  mutex m;
  condition_variable condition;
  std::vector<int> order;
  std::vector<fiber<>> fibers;
  for (int i = 0; i < 5; ++i) {
    fibers.push_back(spawn([&, i] {
      std::unique_lock lock(m);
      condition.wait(lock);
      order.push_back(i);
    }));
  }
  yield();
  for (int i = 0; i < 5; ++i) {
    condition.notify_one();
    EXPECT_TRUE(fibers[static_cast<std::size_t>(i)].join_for(10s));
    EXPECT_EQ(order.size(), static_cast<std::size_t>(i) + 1);
  }
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4}));
}

TEST_F(condition_variable_test, notify_all_wakes_everybody) {
  mutex m;
  condition_variable condition;
  int woken = 0;
  std::vector<fiber<>> fibers;
  for (int i = 0; i < 100; ++i) {
    fibers.push_back(spawn([&] {
      std::unique_lock lock(m);
      condition.wait(lock);
      ++woken;
    }));
  }
  yield();
  {
    std::lock_guard guard(m);
    condition.notify_all();
    EXPECT_EQ(woken, 0);
  }
  EXPECT_EQ(joinall(fibers, 10s), 100u);
  EXPECT_EQ(woken, 100);
}

TEST_F(condition_variable_test, the_mutex_is_free_while_a_fiber_waits_and_held_after) {
  mutex m;
  condition_variable condition;
  fiber<> waiter = spawn([&] {
    std::unique_lock lock(m);
    condition.wait(lock);
    EXPECT_TRUE(lock.owns_lock());
    EXPECT_FALSE(spawn([&] { return m.try_lock(); }).get());
  });
  yield();
  EXPECT_TRUE(m.try_lock());
  condition.notify_one();
  sleep(5ms);
  EXPECT_FALSE(waiter.ready());
  m.unlock();
  waiter.join();
}

TEST_F(condition_variable_test, a_wait_that_times_out_holds_the_mutex_again) {
  mutex m;
  condition_variable condition;
  std::unique_lock lock(m);
  const stopwatch watch;
  EXPECT_EQ(condition.wait_for(lock, 20ms), std::cv_status::timeout);
  expect_took(watch, 20ms);
  EXPECT_FALSE(spawn([&] { return m.try_lock(); }).get());
  EXPECT_EQ(condition.wait_until(lock, std::chrono::steady_clock::now() - 1s),
            std::cv_status::timeout);
  EXPECT_TRUE(lock.owns_lock());
}

TEST_F(condition_variable_test, predicates_are_checked_before_and_after) {
  mutex m;
  condition_variable condition;
  int number = 0;
  std::unique_lock lock(m);
  condition.wait(lock, [] { return true; });
  EXPECT_TRUE(condition.wait_for(lock, 1h, [] { return true; }));
  EXPECT_FALSE(condition.wait_for(lock, 5ms, [&] { return number == 1; }));
  fiber<> setter = spawn([&] {
    for (int i = 0; i < 3; ++i) {
      sleep(2ms);
      std::lock_guard guard(m);
      ++number;
      condition.notify_all();
    }
  });
  EXPECT_TRUE(condition.wait_for(lock, 10s, [&] { return number == 3; }));
  EXPECT_TRUE(condition.wait_until(lock, std::chrono::steady_clock::now() + 10s,
                                   [&] { return number == 3; }));
  lock.unlock();
  setter.join();
}

TEST_F(condition_variable_test, a_waiter_that_timed_out_takes_no_notification) {
  mutex m;
  condition_variable condition;
  bool second_woke = false;
  fiber<> first = spawn([&] {
    std::unique_lock lock(m);
    condition.wait_for(lock, 1ms);
  });
  fiber<> second = spawn([&] {
    std::unique_lock lock(m);
    condition.wait(lock);
    second_woke = true;
  });
  first.join();
  condition.notify_one();
  EXPECT_TRUE(second.join_for(10s));
  EXPECT_TRUE(second_woke);
}

TEST_F(condition_variable_test, fibers_and_threads_pass_a_ball) {
  mutex m;
  condition_variable condition;
  const int rounds = scaled(2000);
  int ball = 0;
  auto player = [&](int parity) {
    for (int i = 0; i < rounds; ++i) {
      std::unique_lock lock(m);
      condition.wait(lock, [&] { return ball % 2 == parity; });
      ++ball;
      condition.notify_all();
    }
  };
  std::thread thread([&] { player(1); });
  fiber<> f = spawn([&] { player(0); });
  f.join();
  thread.join();
  EXPECT_EQ(ball, 2 * rounds);
}

}  // namespace
}  // namespace coir::test
