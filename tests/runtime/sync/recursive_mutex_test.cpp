// Mutual exclusion that its owner may enter again.
#include "tests/runtime/support.hpp"
#include "tests/runtime/sync/errors.hpp"

#include <algorithm>
#include <mutex>
#include <thread>
#include <type_traits>

namespace coir::test {
namespace {

using recursive_mutex_test = runtime_test;

static_assert(std::is_same_v<timed_mutex, mutex>);
static_assert(std::is_same_v<recursive_timed_mutex, recursive_mutex>);

/// Whether another fiber would get it now.
bool is_free(recursive_mutex& m) {
  return spawn([&] {
           const bool taken = m.try_lock();
           if (taken) m.unlock();
           return taken;
         })
      .get();
}

TEST_F(recursive_mutex_test, its_owner_takes_it_again_and_frees_it_with_the_last_unlock) {
  recursive_mutex m;
  m.lock();
  m.lock();
  EXPECT_TRUE(m.try_lock());
  EXPECT_TRUE(m.try_lock_for(0ms));
  EXPECT_TRUE(m.try_lock_until(std::chrono::steady_clock::now() - 1s));
  for (int depth = 5; depth > 1; --depth) {
    EXPECT_FALSE(is_free(m)) << "held " << depth << " times";
    m.unlock();
  }
  EXPECT_FALSE(is_free(m));
  m.unlock();
  EXPECT_TRUE(is_free(m));
}

TEST_F(recursive_mutex_test, one_fiber_at_a_time_is_inside_however_deep) {
  recursive_mutex m;
  int inside = 0;
  int inside_max = 0;
  std::vector<fiber<>> fibers;
  for (int i = 0; i < 50; ++i) {
    fibers.push_back(spawn([&] {
      std::lock_guard outer(m);
      ++inside;
      std::unique_lock inner(m);
      inside_max = std::max(inside_max, inside);
      yield();
      inner.unlock();
      yield();
      --inside;
    }));
  }
  joinall(fibers);
  EXPECT_EQ(inside_max, 1);
}

TEST_F(recursive_mutex_test, waiters_get_it_in_order_of_arrival) {
  recursive_mutex m;
  std::vector<int> order;
  std::vector<fiber<>> fibers;
  m.lock();
  m.lock();
  for (int i = 0; i < 20; ++i) {
    fibers.push_back(spawn([&, i] {
      std::lock_guard guard(m);
      std::lock_guard again(m);
      order.push_back(i);
    }));
  }
  yield();
  m.unlock();
  yield();
  EXPECT_TRUE(order.empty());
  m.unlock();
  joinall(fibers);
  ASSERT_EQ(order.size(), 20u);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST_F(recursive_mutex_test, a_waiter_comes_before_one_who_releases_and_takes_it_again) {
  recursive_mutex m;
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

TEST_F(recursive_mutex_test, a_timed_lock_gives_up_after_its_time_and_leaves_nothing_behind) {
  recursive_mutex m;
  m.lock();
  auto try_in_vain = [&] {
    const stopwatch watch;
    EXPECT_FALSE(m.try_lock());
    EXPECT_FALSE(m.try_lock_for(0ms));
    EXPECT_FALSE(m.try_lock_for(20ms));
    expect_took(watch, 20ms);
    EXPECT_FALSE(m.try_lock_until(std::chrono::steady_clock::now() + 20ms));
    expect_took(watch, 40ms);
  };
  spawn(try_in_vain).join();
  std::thread(try_in_vain).join();
  m.unlock();
  EXPECT_TRUE(is_free(m));
}

TEST_F(recursive_mutex_test, a_timed_lock_gets_it_when_it_is_released_in_time) {
  recursive_mutex m;
  m.lock();
  fiber<bool> f = spawn([&] {
    std::unique_lock lock(m, 10s);
    return lock.owns_lock() && m.try_lock() && (m.unlock(), true);
  });
  sleep(5ms);
  m.unlock();
  EXPECT_TRUE(f.get());
}

TEST_F(recursive_mutex_test, only_the_owner_may_unlock_and_only_as_often_as_it_locked) {
  recursive_mutex m;
  auto unlock = [&] { m.unlock(); };
  EXPECT_EQ(error_of(unlock), std::errc::operation_not_permitted);
  m.lock();
  spawn([&] { EXPECT_EQ(error_of(unlock), std::errc::operation_not_permitted); }).join();
  std::thread([&] { EXPECT_EQ(error_of(unlock), std::errc::operation_not_permitted); }).join();
  m.unlock();
  EXPECT_EQ(error_of(unlock), std::errc::operation_not_permitted);
  EXPECT_TRUE(is_free(m));
}

TEST_F(recursive_mutex_test,
       a_fiber_killed_while_it_waits_neither_gets_it_nor_keeps_it_from_others) {
  recursive_mutex m;
  m.lock();
  bool went_on = false;
  bool next_had_it = false;
  fiber<> killed = spawn([&] {
    std::lock_guard guard(m);
    went_on = true;
  });
  fiber<> next = spawn([&] {
    std::lock_guard guard(m);
    next_had_it = true;
  });
  yield();
  killed.kill();
  m.unlock();
  EXPECT_TRUE(next.join_for(10s));
  EXPECT_FALSE(went_on);
  EXPECT_TRUE(next_had_it);
  EXPECT_TRUE(is_free(m));
}

TEST_F(recursive_mutex_test, a_fiber_killed_inside_frees_it_at_every_depth) {
  recursive_mutex m;
  fiber<> f = spawn([&] {
    std::lock_guard outer(m);
    std::lock_guard inner(m);
    sleep(1h);
  });
  yield();
  EXPECT_FALSE(m.try_lock());
  f.kill();
  EXPECT_TRUE(m.try_lock());
  m.unlock();
}

TEST_F(recursive_mutex_test, std_lock_takes_several_of_different_kinds_without_deadlock) {
  recursive_mutex one;
  mutex two;
  shared_mutex three;
  int done = 0;
  fiber<> f = spawn([&] {
    for (int i = 0; i < 100; ++i) {
      std::scoped_lock lock(one, two, three);
      yield();
    }
    ++done;
  });
  fiber<> g = spawn([&] {
    for (int i = 0; i < 100; ++i) {
      std::scoped_lock lock(three, one, two);
      std::lock_guard again(one);
      yield();
    }
    ++done;
  });
  EXPECT_EQ(joinall(std::vector{f, g}, 20s), 2u);
  EXPECT_EQ(done, 2);
}

TEST_F(recursive_mutex_test, fibers_of_several_threads_exclude_each_other) {
  recursive_mutex m;
  const int rounds = scaled(5000);
  long counter = 0;  // guarded by m
  auto work = [&] {
    std::vector<fiber<>> fibers;
    for (int f = 0; f < 4; ++f) {
      fibers.push_back(spawn([&] {
        for (int i = 0; i < rounds; ++i) {
          std::lock_guard outer(m);
          std::lock_guard inner(m);
          ++counter;
          if (i % 64 == 0) yield();
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

TEST_F(recursive_mutex_test, a_release_in_another_thread_wakes_the_waiter) {
  recursive_mutex m;
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

}  // namespace
}  // namespace coir::test
