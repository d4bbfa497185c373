// A flag that fibers wait for.
#include "tests/runtime/support.hpp"

#include <string>
#include <thread>

namespace coir::test {
namespace {

using event_test = runtime_test;

TEST_F(event_test, a_wait_for_a_set_event_returns_at_once_again_and_again) {
  event e;
  EXPECT_FALSE(e.is_set());
  e.set();
  EXPECT_TRUE(e.is_set());
  const stopwatch watch;
  for (int i = 0; i < 1000; ++i) e.wait();
  EXPECT_TRUE(e.wait_for(1h));
  EXPECT_TRUE(e.wait_for(0ms));
  expect_prompt(watch);
}

TEST_F(event_test, a_timed_wait_ends_without_a_throw) {
  event e;
  const stopwatch watch;
  EXPECT_FALSE(e.wait_for(20ms));
  expect_took(watch, 20ms);
  EXPECT_FALSE(e.wait_until(std::chrono::steady_clock::now() + 20ms));
  expect_took(watch, 40ms);
  EXPECT_FALSE(e.wait_for(0ms));
}

TEST_F(event_test, waiters_wake_in_order_of_arrival) {
  event e;
  std::vector<int> order;
  std::vector<fiber<>> fibers;
  for (int i = 0; i < 10; ++i) {
    fibers.push_back(spawn([&, i] {
      e.wait();
      order.push_back(i);
    }));
  }
  yield();
  e.set();
  EXPECT_TRUE(order.empty());
  joinall(fibers);
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
}

TEST_F(event_test, a_waiter_that_the_last_set_woke_stays_woken_after_a_clear) {
  event e;
  bool woke = false;
  fiber<> f = spawn([&] {
    e.wait();
    woke = true;
  });
  yield();
  e.set();
  e.clear();
  EXPECT_TRUE(f.join_for(10s));
  EXPECT_TRUE(woke);
  EXPECT_FALSE(e.is_set());
}

TEST_F(event_test, a_timed_wait_is_true_when_it_was_set_though_cleared_before_the_waiter_ran) {
  event e;
  fiber<bool> f = spawn([&] { return e.wait_for(10s); });
  yield();
  e.set();
  e.clear();
  EXPECT_TRUE(f.get());
}

TEST_F(event_test, one_who_comes_after_the_clear_is_not_woken_with_those_before) {
  event e;
  fiber<> early = spawn([&] { e.wait(); });
  yield();
  e.set();
  e.clear();
  fiber<bool> late = spawn([&] { return e.wait_for(5ms); });
  EXPECT_TRUE(early.join_for(10s));
  EXPECT_FALSE(late.get());
}

TEST_F(event_test, one_who_clears_it_and_waits_again_is_not_woken_by_the_old_set) {
  event e;
  int wakes = 0;
  fiber<> clearer = spawn([&] {
    e.wait();
    ++wakes;
    e.clear();
    e.wait();
    ++wakes;
  });
  fiber<> other = spawn([&] { e.wait(); });
  yield();
  e.set();
  EXPECT_TRUE(other.join_for(10s));
  sleep(5ms);
  EXPECT_EQ(wakes, 1);
  e.set();
  EXPECT_TRUE(clearer.join_for(10s));
  EXPECT_EQ(wakes, 2);
}

TEST_F(event_test, one_who_waits_during_the_notification_goes_on_at_once) {
  event e;
  bool latecomer_waited = true;
  fiber<> first = spawn([&] {
    e.wait();
    const stopwatch watch;
    e.wait();
    latecomer_waited = watch.elapsed() > 2s;
  });
  yield();
  e.set();
  first.join();
  EXPECT_FALSE(latecomer_waited);
}

TEST_F(event_test, one_who_waits_while_a_set_event_notifies_goes_on_in_the_same_loop_turn) {
  event e;
  std::string order;
  fiber<> first = spawn([&] {
    e.wait();
    order += '1';
    e.wait();  // others that this set has woken have not run yet
    order += '1';
  });
  fiber<> second = spawn([&] {
    e.wait();
    order += '2';
  });
  yield();
  e.set();
  fiber<> behind = spawn([&] {
    order += 'b';
    e.wait();
    order += 'b';
  });
  joinall(std::vector{first, second, behind});
  EXPECT_EQ(order, "112bb");
}

TEST_F(event_test, a_waiter_that_is_killed_is_gone_and_the_others_are_woken) {
  event e;
  fiber<> killed = spawn([&] {
    e.wait();
    FAIL() << "went on after a kill";
  });
  fiber<> other = spawn([&] { e.wait(); });
  yield();
  killed.kill();
  e.set();
  EXPECT_TRUE(other.join_for(10s));
}

TEST_F(event_test, a_wait_in_another_thread_that_timed_out_leaves_nothing_behind) {
  event e;
  std::thread([&] { EXPECT_FALSE(e.wait_for(5ms)); }).join();
  fiber<> other = spawn([&] { e.wait(); });
  yield();
  e.set();
  EXPECT_TRUE(other.join_for(10s));
}

TEST_F(event_test, a_set_from_another_thread_wakes_a_worker_that_has_nothing_else_to_wait_for) {
  event e;
  std::thread thread([&] {
    std::this_thread::sleep_for(20ms);
    e.set();
  });
  const stopwatch watch;
  e.wait();
  expect_took(watch, 20ms);
  thread.join();
}

TEST_F(event_test, it_works_in_both_directions_between_threads) {
  const int rounds = scaled(2000);
  for (int i = 0; i < rounds; ++i) {
    event there;
    event back;
    fiber<> here = spawn([&] {
      there.wait();
      back.set();
    });
    std::thread thread;
    if (i % 100 == 0) {
      thread = std::thread([&] {
        there.set();
        back.wait();
      });
    } else {
      there.set();
    }
    ASSERT_TRUE(back.wait_for(20s)) << "round " << i;
    here.join();
    if (thread.joinable()) thread.join();
  }
}

}  // namespace
}  // namespace coir::test
