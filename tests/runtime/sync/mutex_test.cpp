// Mutual exclusion between fibers and threads.
#include "tests/runtime/support.hpp"

#include <system_error>
#include <thread>

namespace coir::test {
namespace {

using mutex_test = runtime_test;

TEST_F(mutex_test, one_fiber_at_a_time_holds_it) {
  mutex m;
  int inside = 0;
  int inside_max = 0;
  std::vector<fiber<>> fibers;
  for (int i = 0; i < 50; ++i) {
    fibers.push_back(spawn([&] {
      std::lock_guard guard(m);
      inside_max = std::max(inside_max, ++inside);
      yield();
      --inside;
    }));
  }
  joinall(fibers);
  EXPECT_EQ(inside_max, 1);
}

TEST_F(mutex_test, waiters_get_it_in_order_of_arrival) {
  mutex m;
  std::vector<int> order;
  std::vector<fiber<>> fibers;
  m.lock();
  for (int i = 0; i < 20; ++i) {
    fibers.push_back(spawn([&, i] {
      std::lock_guard guard(m);
      order.push_back(i);
    }));
  }
  yield();
  m.unlock();
  joinall(fibers);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(order[i], i);
}

TEST_F(mutex_test, a_waiter_comes_before_one_who_releases_and_takes_it_again) {
  mutex m;
  bool waiter_had_it = false;
  int rounds = 0;
  fiber<> greedy = spawn([&] {
    while (!waiter_had_it && rounds < 1000) {
      std::lock_guard guard(m);
      ++rounds;
      yield();
    }
  });
  fiber<> waiter = spawn([&] {
    std::lock_guard guard(m);
    waiter_had_it = true;
  });
  joinall(std::vector{greedy, waiter});
  EXPECT_LE(rounds, 2);
}

TEST_F(mutex_test, try_lock_says_whether_it_was_free) {
  mutex m;
  EXPECT_TRUE(m.try_lock());
  EXPECT_FALSE(spawn([&] { return m.try_lock(); }).get());
  m.unlock();
  EXPECT_TRUE(spawn([&] {
                const bool taken = m.try_lock();
                m.unlock();
                return taken;
              }).get());
}

TEST_F(mutex_test, try_lock_for_gives_up_after_its_time) {
  mutex m;
  m.lock();
  fiber<> f = spawn([&] {
    const stopwatch watch;
    EXPECT_FALSE(m.try_lock_for(20ms));
    expect_took(watch, 20ms);
    EXPECT_FALSE(m.try_lock_until(std::chrono::steady_clock::now() + 20ms));
    expect_took(watch, 40ms);
    EXPECT_FALSE(m.try_lock_for(0ms));
  });
  f.join();
  m.unlock();
}

TEST_F(mutex_test, try_lock_for_gets_it_when_it_is_released_in_time) {
  mutex m;
  m.lock();
  fiber<bool> f = spawn([&] {
    const bool taken = m.try_lock_for(10s);
    if (taken) m.unlock();
    return taken;
  });
  sleep(5ms);
  m.unlock();
  EXPECT_TRUE(f.get());
}

TEST_F(mutex_test, a_waiter_that_timed_out_is_not_given_the_mutex) {
  mutex m;
  m.lock();
  spawn([&] { EXPECT_FALSE(m.try_lock_for(1ms)); }).join();
  m.unlock();
  EXPECT_TRUE(m.try_lock());
  m.unlock();
}

TEST_F(mutex_test, a_waiter_in_another_thread_that_timed_out_leaves_nothing_behind) {
  mutex m;
  m.lock();
  std::thread([&] { EXPECT_FALSE(m.try_lock_for(5ms)); }).join();
  m.unlock();
  EXPECT_TRUE(m.try_lock());
  m.unlock();
}

TEST_F(mutex_test, locking_it_twice_is_a_deadlock_error) {
  mutex m;
  m.lock();
  try {
    m.lock();
    FAIL() << "locked twice";
  } catch (const std::system_error& e) {
    EXPECT_EQ(e.code(), std::errc::resource_deadlock_would_occur);
  }
  EXPECT_FALSE(m.try_lock());
  m.unlock();
}

TEST_F(mutex_test, only_the_owner_may_unlock) {
  mutex m;
  EXPECT_THROW(m.unlock(), std::system_error);
  m.lock();
  spawn([&] {
    try {
      m.unlock();
      FAIL() << "unlocked by another fiber";
    } catch (const std::system_error& e) {
      EXPECT_EQ(e.code(), std::errc::operation_not_permitted);
    }
  }).join();
  m.unlock();
}

TEST_F(mutex_test, std_lock_takes_two_without_deadlock) {
  mutex one;
  mutex two;
  int done = 0;
  auto body = [&](mutex& a, mutex& b) {
    for (int i = 0; i < 100; ++i) {
      std::scoped_lock lock(a, b);
      yield();
    }
    ++done;
  };
  std::vector<fiber<>> fibers{spawn(body, std::ref(one), std::ref(two)),
                              spawn(body, std::ref(two), std::ref(one))};
  EXPECT_EQ(joinall(fibers, 20s), 2u);
  EXPECT_EQ(done, 2);
}

TEST_F(mutex_test, a_fiber_killed_while_it_waits_does_not_keep_it_from_others) {
  mutex m;
  m.lock();
  fiber<> killed = spawn([&] {
    std::lock_guard guard(m);
    FAIL() << "went on after a kill";
  });
  fiber<bool> next = spawn([&] { return std::unique_lock(m, 10s).owns_lock(); });
  yield();
  killed.kill();
  m.unlock();
  EXPECT_TRUE(next.get());
  EXPECT_TRUE(m.try_lock());
  m.unlock();
}

TEST_F(mutex_test, a_release_in_another_thread_wakes_the_waiter) {
  mutex m;
  event is_held;
  event may_go;
  std::thread other([&] {
    std::lock_guard guard(m);
    is_held.set();
    may_go.wait();
  });
  is_held.wait();
  fiber<bool> waiter = spawn([&] { return std::unique_lock(m, 20s).owns_lock(); });
  yield();
  may_go.set();
  EXPECT_TRUE(waiter.get());
  other.join();
}

TEST_F(mutex_test, fibers_of_several_threads_exclude_each_other) {
  mutex m;
  const int rounds = scaled(5000);
  long counter = 0;
  auto work = [&] {
    std::vector<fiber<>> fibers;
    for (int f = 0; f < 4; ++f) {
      fibers.push_back(spawn([&] {
        for (int i = 0; i < rounds; ++i) {
          std::lock_guard guard(m);
          ++counter;
        }
      }));
    }
    joinall(fibers);
  };
  std::thread one(work);
  std::thread two(work);
  work();
  one.join();
  two.join();
  EXPECT_EQ(counter, 12L * rounds);
}

}  // namespace
}  // namespace coir::test
