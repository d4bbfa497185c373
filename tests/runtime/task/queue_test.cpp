// A FIFO between fibers.
#include "tests/runtime/support.hpp"

#include <algorithm>
#include <memory>
#include <numeric>
#include <thread>

namespace coir::test {
namespace {

using queue_test = runtime_test;

TEST_F(queue_test, items_come_out_in_the_order_they_went_in) {
  queue<int> q;
  for (int i = 0; i < 100; ++i) q.put(i);
  EXPECT_EQ(q.size(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(q.get(), i);
  EXPECT_TRUE(q.empty());
}

TEST_F(queue_test, a_put_into_a_full_queue_waits_for_a_get) {
  queue<int> q(2);
  std::vector<int> put;
  fiber<> putter = spawn([&] {
    for (int i = 0; i < 4; ++i) {
      q.put(i);
      put.push_back(i);
    }
  });
  yield();
  EXPECT_EQ(put, (std::vector<int>{0, 1}));
  EXPECT_TRUE(q.full());
  EXPECT_EQ(q.get(), 0);
  yield();
  EXPECT_EQ(put, (std::vector<int>{0, 1, 2}));
  EXPECT_EQ(q.get(), 1);
  EXPECT_EQ(q.get(), 2);
  EXPECT_EQ(q.get(), 3);
  putter.join();
}

TEST_F(queue_test, blocked_putters_go_on_in_order) {
  queue<int> q(1);
  std::vector<fiber<>> putters;
  for (int i = 0; i < 10; ++i) putters.push_back(spawn([&, i] { q.put(i); }));
  yield();
  for (int i = 0; i < 10; ++i) EXPECT_EQ(q.get(), i);
  joinall(putters);
}

TEST_F(queue_test, blocked_getters_are_served_in_order) {
  queue<int> q;
  std::vector<int> order;
  std::vector<fiber<>> getters;
  for (int i = 0; i < 10; ++i) {
    getters.push_back(spawn([&, i] {
      EXPECT_EQ(q.get(), i);
      order.push_back(i);
    }));
  }
  yield();
  for (int i = 0; i < 10; ++i) q.put(i);
  joinall(getters);
  EXPECT_TRUE(std::ranges::is_sorted(order));
}

TEST_F(queue_test, a_put_into_a_rendezvous_waits_until_its_item_is_taken) {
  queue<int> q(0);
  bool put_returned = false;
  fiber<> putter = spawn([&] {
    q.put(1);
    put_returned = true;
  });
  yield();
  EXPECT_FALSE(put_returned);
  EXPECT_EQ(q.size(), 0u);
  EXPECT_FALSE(q.try_put(5));
  EXPECT_EQ(q.get(), 1);
  putter.join();
  EXPECT_TRUE(put_returned);
}

TEST_F(queue_test, try_get_takes_the_item_of_a_putter_that_waits_and_lets_it_go_on) {
  queue<int> q(0);
  fiber<> putter = spawn([&] { q.put(9); });
  yield();
  EXPECT_EQ(q.try_get(), 9);
  EXPECT_EQ(q.try_get(), std::nullopt);
  EXPECT_TRUE(putter.join_for(10s));
}

TEST_F(queue_test, try_put_into_a_rendezvous_succeeds_when_a_getter_waits) {
  queue<int> q(0);
  fiber<int> getter = spawn([&] { return q.get(); });
  yield();
  EXPECT_TRUE(q.try_put(4));
  EXPECT_EQ(getter.get(), 4);
}

TEST_F(queue_test, try_put_says_whether_there_was_room_and_keeps_the_item_if_not) {
  queue<std::unique_ptr<int>> q(1);
  auto first = std::make_unique<int>(1);
  auto second = std::make_unique<int>(2);
  EXPECT_TRUE(q.try_put(first));
  EXPECT_EQ(first, nullptr);
  EXPECT_FALSE(q.try_put(second));
  ASSERT_NE(second, nullptr);
  EXPECT_FALSE(q.put_for(second, 5ms));
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(**q.try_get(), 1);
}

TEST_F(queue_test, a_timed_get_returns_nothing_after_its_time) {
  queue<int> q;
  const stopwatch watch;
  EXPECT_EQ(q.get_for(20ms), std::nullopt);
  expect_took(watch, 20ms);
  EXPECT_EQ(q.get_for(0ms), std::nullopt);
  q.put(1);
  EXPECT_EQ(q.get_for(0ms), 1);
}

TEST_F(queue_test, a_timed_put_fails_after_its_time) {
  queue<int> q(1);
  q.put(1);
  const stopwatch watch;
  EXPECT_FALSE(q.put_for(2, 20ms));
  expect_took(watch, 20ms);
  EXPECT_FALSE(q.put_for(2, 0ms));
  EXPECT_EQ(q.get(), 1);
  EXPECT_TRUE(q.put_for(3, 0ms));
  EXPECT_EQ(q.get(), 3);
}

TEST_F(queue_test, a_getter_that_timed_out_loses_nothing) {
  queue<int> q;
  EXPECT_EQ(q.get_for(1ms), std::nullopt);
  q.put(1);
  EXPECT_EQ(q.size(), 1u);
  EXPECT_EQ(q.get(), 1);
}

TEST_F(queue_test, an_item_goes_past_a_getter_that_timed_out_to_the_next_one) {
  queue<int> q;
  fiber<> impatient = spawn([&] { EXPECT_EQ(q.get_for(1ms), std::nullopt); });
  fiber<int> patient = spawn([&] { return q.get(); });
  impatient.join();
  q.put(7);
  EXPECT_EQ(patient.get_for(10s), 7);
}

TEST_F(queue_test, an_item_of_a_putter_that_timed_out_is_not_delivered) {
  queue<int> q(1);
  q.put(1);
  EXPECT_FALSE(q.put_for(2, 1ms));
  EXPECT_EQ(q.get(), 1);
  EXPECT_EQ(q.try_get(), std::nullopt);
}

TEST_F(queue_test, an_item_of_a_fiber_that_has_ended_is_delivered) {
  queue<std::string> q;
  spawn([&] { q.put("left behind"); }).join();
  EXPECT_EQ(q.get(), "left behind");
}

TEST_F(queue_test, items_that_only_move_pass_through) {
  queue<std::unique_ptr<int>> q(0);
  fiber<> putter = spawn([&] { q.put(std::make_unique<int>(3)); });
  EXPECT_EQ(*q.get(), 3);
  putter.join();
}

TEST_F(queue_test, the_bound_is_kept) {
  queue<int> q(5);
  EXPECT_EQ(q.capacity(), 5u);
  std::size_t size_max = 0;
  fiber<> putter = spawn([&] {
    for (int i = 0; i < 100; ++i) {
      q.put(i);
      size_max = std::max(size_max, q.size());
    }
  });
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(q.get(), i);
    if (i % 7 == 0) yield();
  }
  putter.join();
  EXPECT_LE(size_max, 5u);
}

/// Puts and gets `items` numbers with fibers of several threads and expects each to arrive exactly
/// once.
void exchange(std::size_t capacity, int items) {
  queue<int> q(capacity);
  std::vector<std::atomic<int>> seen(static_cast<std::size_t>(items));
  auto putter = [&](int first) {
    for (int i = first; i < items; i += 4) q.put(i);
  };
  auto getter = [&] {
    for (int i = 0; i < items / 4; ++i) ++seen[static_cast<std::size_t>(q.get())];
  };
  auto both = [&](int first) {
    std::vector<fiber<>> fibers{spawn(putter, first), spawn(getter), spawn(putter, first + 1),
                                spawn(getter)};
    joinall(fibers);
  };
  std::thread other(both, 2);
  both(0);
  other.join();
  EXPECT_TRUE(std::ranges::all_of(seen, [](const std::atomic<int>& n) { return n == 1; }));
  EXPECT_TRUE(q.empty());
}

TEST_F(queue_test, several_threads_exchange_every_item_once_without_a_bound) {
  exchange(queue<int>::unbounded, scaled(40'000) / 4 * 4);
}
TEST_F(queue_test, several_threads_exchange_every_item_once_within_a_bound) {
  exchange(5, scaled(40'000) / 4 * 4);
}
TEST_F(queue_test, several_threads_exchange_every_item_once_at_a_rendezvous) {
  exchange(0, scaled(20'000) / 4 * 4);
}

}  // namespace
}  // namespace coir::test
