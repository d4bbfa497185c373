// Counting semaphore.
#include "tests/runtime/support.hpp"

#include <stdexcept>
#include <string>
#include <thread>

namespace coir::test {
namespace {

using semaphore_test = runtime_test;

TEST_F(semaphore_test, units_that_are_there_are_taken_at_once) {
  counting_semaphore s(2);
  s.acquire();
  s.acquire();
  EXPECT_EQ(s.available(), 0);
  EXPECT_FALSE(s.try_acquire());
  s.release();
  EXPECT_TRUE(s.try_acquire());
}

TEST_F(semaphore_test, waiters_get_units_in_order_of_arrival) {
  counting_semaphore s(0);
  std::vector<int> order;
  std::vector<fiber<>> fibers;
  for (int i = 0; i < 10; ++i) {
    fibers.push_back(spawn([&, i] {
      s.acquire();
      order.push_back(i);
    }));
  }
  yield();
  for (int i = 0; i < 10; ++i) s.release();
  joinall(fibers);
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
}

TEST_F(semaphore_test, release_of_many_wakes_as_many_and_keeps_the_rest) {
  counting_semaphore s(0);
  int woken = 0;
  std::vector<fiber<>> fibers;
  for (int i = 0; i < 3; ++i) {
    fibers.push_back(spawn([&] {
      s.acquire();
      ++woken;
    }));
  }
  yield();
  s.release(2);
  sleep(1ms);
  EXPECT_EQ(woken, 2);
  s.release(5);
  joinall(fibers);
  EXPECT_EQ(woken, 3);
  EXPECT_EQ(s.available(), 4);
}

TEST_F(semaphore_test, a_waiter_comes_before_one_who_releases_and_takes_again) {
  counting_semaphore s(1);
  bool waiter_had_it = false;
  int rounds = 0;
  fiber<> greedy = spawn([&] {
    while (!waiter_had_it && rounds < 1000) {
      s.acquire();
      ++rounds;
      yield();
      s.release();
    }
  });
  fiber<> waiter = spawn([&] {
    s.acquire();
    waiter_had_it = true;
    s.release();
  });
  joinall(std::vector{greedy, waiter});
  EXPECT_LE(rounds, 2);
}

TEST_F(semaphore_test, try_acquire_does_not_overtake_a_waiter) {
  counting_semaphore s(0);
  fiber<> waiter = spawn([&] { s.acquire(); });
  yield();
  s.release();
  EXPECT_FALSE(s.try_acquire());
  waiter.join();
}

TEST_F(semaphore_test, a_timed_wait_ends_after_its_time_without_a_unit) {
  counting_semaphore s(0);
  const stopwatch watch;
  EXPECT_FALSE(s.try_acquire_for(20ms));
  expect_took(watch, 20ms);
  EXPECT_FALSE(s.try_acquire_until(std::chrono::steady_clock::now() + 20ms));
  expect_took(watch, 40ms);
  EXPECT_FALSE(s.try_acquire_for(0ms));
  s.release();
  EXPECT_TRUE(s.try_acquire_for(0ms));
}

TEST_F(semaphore_test, a_waiter_that_timed_out_takes_no_unit) {
  counting_semaphore s(0);
  EXPECT_FALSE(s.try_acquire_for(1ms));
  std::thread([&] { EXPECT_FALSE(s.try_acquire_for(1ms)); }).join();
  s.release();
  EXPECT_EQ(s.available(), 1);
}

TEST_F(semaphore_test, it_bounds_how_many_are_inside) {
  counting_semaphore s(3);
  int inside = 0;
  int inside_max = 0;
  std::vector<fiber<>> fibers;
  for (int i = 0; i < 30; ++i) {
    fibers.push_back(spawn([&] {
      s.acquire();
      inside_max = std::max(inside_max, ++inside);
      sleep(1ms);
      --inside;
      s.release();
    }));
  }
  joinall(fibers);
  EXPECT_EQ(inside_max, 3);
  EXPECT_EQ(s.available(), 3);
}

TEST_F(semaphore_test, one_with_units_is_ready_for_a_wait_at_once_and_the_wait_takes_none) {
  counting_semaphore s(1);
  const stopwatch watch;
  s.wait();
  EXPECT_TRUE(s.wait_for(1h));
  EXPECT_TRUE(s.wait_for(0ms));
  EXPECT_TRUE(s.wait_until(std::chrono::steady_clock::now() - 1s));
  expect_prompt(watch);
  EXPECT_EQ(s.available(), 1);
}

TEST_F(semaphore_test, a_wait_parks_until_a_unit_is_there_and_leaves_it_to_others) {
  counting_semaphore s(0);
  std::string order;
  std::vector<fiber<>> fibers;
  auto wait = [&](char name) {
    fibers.push_back(spawn([&, name] {
      s.wait();
      order += name;
    }));
  };
  auto acquire = [&](char name) {
    fibers.push_back(spawn([&, name] {
      s.acquire();
      order += name;
    }));
  };
  wait('a');
  acquire('B');
  wait('c');
  wait('d');
  acquire('E');
  yield();
  s.release();
  sleep(1ms);
  EXPECT_EQ(order, "aB");
  EXPECT_EQ(s.available(), 0);
  s.release();
  joinall(fibers);
  EXPECT_EQ(order, "aBcdE");
  EXPECT_EQ(s.available(), 0);
}

TEST_F(semaphore_test, a_timed_wait_without_acquire_says_whether_there_was_a_unit) {
  counting_semaphore s(0);
  const stopwatch watch;
  EXPECT_FALSE(s.wait_for(20ms));
  expect_took(watch, 20ms);
  EXPECT_FALSE(s.wait_until(std::chrono::steady_clock::now() + 20ms));
  expect_took(watch, 40ms);
  fiber<bool> f = spawn([&] { return s.wait_for(10s); });
  yield();
  s.release();
  EXPECT_TRUE(f.get());
  EXPECT_EQ(s.available(), 1);
}

TEST_F(semaphore_test, one_killed_while_it_waits_takes_no_unit) {
  counting_semaphore s(0);
  fiber<> acquirer = spawn([&] { s.acquire(); });
  fiber<> looker = spawn([&] { s.wait(); });
  yield();
  acquirer.kill();
  looker.kill();
  s.release();
  EXPECT_EQ(s.available(), 1);
}

TEST_F(semaphore_test, numbers_that_make_no_sense_are_refused_and_change_nothing) {
  EXPECT_THROW(counting_semaphore(-1), std::invalid_argument);
  counting_semaphore s(1);
  EXPECT_THROW(s.release(-1), std::invalid_argument);
  EXPECT_THROW(s.release(s.max()), std::logic_error);
  EXPECT_EQ(s.available(), 1);
  s.release(0);
  s.release(s.max() - 1);
  EXPECT_EQ(s.available(), s.max());
}

TEST_F(semaphore_test, a_release_in_another_thread_wakes_the_waiter) {
  counting_semaphore there(0);
  counting_semaphore back(0);
  const int rounds = scaled(5000);
  std::thread thread([&] {
    for (int i = 0; i < rounds; ++i) {
      there.acquire();
      back.release();
    }
  });
  for (int i = 0; i < rounds; ++i) {
    there.release();
    ASSERT_TRUE(back.try_acquire_for(20s)) << "round " << i;
  }
  thread.join();
  EXPECT_EQ(back.available(), 0);
}

}  // namespace
}  // namespace coir::test
