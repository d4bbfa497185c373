// A waiter whose deadline passes at about the time of its wake: each item, unit and ownership ends
// in exactly one place.
#include "tests/runtime/support.hpp"

#include <atomic>
#include <random>
#include <thread>

namespace coir::test {
namespace {

using timeout_race_test = runtime_test;

/// Deadlines of 0 to 200 us: about the time that the other side needs.
class short_times {
 public:
  microseconds next() { return microseconds(length_(engine_)); }

 private:
  std::minstd_rand engine_{20240601};
  std::uniform_int_distribution<int> length_{0, 200};
};

void busy_wait(microseconds length) {
  const stopwatch watch;
  while (watch.elapsed() < length) {
  }
}

TEST_F(timeout_race_test, a_queue_between_fibers_of_one_thread_loses_no_item_in_100000_rounds) {
  const int rounds = scaled(100'000);
  queue<int> q(0);
  short_times times;
  long got = 0;
  long timeouts = 0;
  int expected = 0;
  fiber<> putter = spawn([&] {
    for (int i = 0; i < rounds; ++i) {
      if (i % 64 == 0) sleep(times.next());
      q.put(i);
    }
  });
  while (got < rounds) {
    if (const auto item = q.get_for(times.next() / 8)) {
      ASSERT_EQ(*item, expected++);
      ++got;
    } else {
      ++timeouts;
    }
  }
  EXPECT_GT(timeouts, 0);
  putter.join();
}

TEST_F(timeout_race_test, a_queue_between_two_threads_loses_no_item_in_100000_rounds) {
  const int rounds = scaled(100'000);
  queue<int> q;
  std::atomic<bool> has_failed{false};
  std::thread putter([&] {
    short_times times;
    for (int i = 0; i < rounds && !has_failed; ++i) {
      if (i % 16 == 0) busy_wait(times.next() / 4);
      q.put(i);
    }
  });
  short_times times;
  for (int expected = 0; expected < rounds && !has_failed;) {
    if (const auto item = q.get_for(times.next() / 4)) {
      if (*item != expected++) has_failed = true;
    }
  }
  putter.join();
  EXPECT_FALSE(has_failed) << "an item was lost or came twice";
  EXPECT_TRUE(q.empty());
}

TEST_F(timeout_race_test, timed_puts_from_another_thread_are_delivered_exactly_when_they_say_so) {
  const int rounds = scaled(50'000);
  queue<int> q(0);
  std::atomic<int> accepted{0};
  std::atomic<bool> is_over{false};
  std::thread putter([&] {
    short_times times;
    for (int i = 0; i < rounds; ++i) accepted += q.put_for(i, times.next() / 4);
    is_over = true;
  });
  short_times times;
  int got = 0;
  while (!is_over) got += q.get_for(times.next() / 4).has_value();
  putter.join();
  while (q.try_get()) ++got;
  EXPECT_EQ(got, accepted);
}

TEST_F(timeout_race_test, a_semaphore_between_two_threads_loses_no_unit) {
  const int rounds = scaled(50'000);
  counting_semaphore units(0);
  std::thread releaser([&] {
    short_times times;
    for (int i = 0; i < rounds; ++i) {
      if (i % 16 == 0) busy_wait(times.next() / 4);
      units.release();
    }
  });
  short_times times;
  int taken = 0;
  const stopwatch watch;
  while (taken < rounds && watch.elapsed() < 50s) taken += units.try_acquire_for(times.next() / 4);
  releaser.join();
  EXPECT_EQ(taken, rounds);
  EXPECT_EQ(units.available(), 0);
}

TEST_F(timeout_race_test, a_mutex_between_two_threads_is_never_held_twice_nor_lost) {
  const int rounds = scaled(20'000);
  mutex m;
  long inside = 0;  // guarded by m
  std::atomic<int> held{0};
  auto work = [&] {
    short_times times;
    for (int i = 0; i < rounds; ++i) {
      if (!m.try_lock_for(times.next() / 8)) continue;
      if (++inside != 1) ADD_FAILURE() << "held twice";
      --inside;
      ++held;
      m.unlock();
    }
  };
  std::thread other(work);
  work();
  other.join();
  EXPECT_GT(held, 0);
  EXPECT_TRUE(m.try_lock());
  m.unlock();
}

TEST_F(timeout_race_test, kills_that_race_with_wakes_lose_no_item) {
  const int rounds = scaled(20'000);
  queue<int> q;
  int taken = 0;
  for (int i = 0; i < rounds; ++i) {
    fiber<> getter = spawn([&] { taken += q.get(); });
    if (i % 3) yield();
    if (i % 2) {
      q.put(1);
      getter.kill(false);
    } else {
      getter.kill(false);
      q.put(1);
    }
    getter.join();
    while (q.try_get()) ++taken;
  }
  EXPECT_EQ(taken, rounds);
}

}  // namespace
}  // namespace coir::test
