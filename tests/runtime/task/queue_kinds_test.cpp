// What fifo, lifo and priority queues have in common: blocking, limits, peek, iteration, kills.
// queue_end_test.cpp has join and shutdown.
#include "tests/runtime/task/every_queue.hpp"

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <thread>

namespace coir::test {
namespace {

TYPED_TEST_SUITE(every_queue, queue_kinds, kind_names);

TYPED_TEST(every_queue, of_size_n_makes_the_put_after_n_wait_until_one_get) {
  TypeParam q(3);
  int put = 0;
  fiber<> putter = spawn([&] {
    for (; put < 5; ++put) q.put(put);
  });
  yield();
  EXPECT_EQ(put, 3);
  EXPECT_TRUE(q.full());
  q.get();
  yield();
  EXPECT_EQ(put, 4);
  q.get();
  putter.join();
  EXPECT_EQ(q.size(), 3u);
}

TYPED_TEST(every_queue, serves_waiting_getters_in_order_of_arrival) {
  TypeParam q;
  std::vector<int> served;
  std::vector<fiber<>> getters;
  for (int i = 0; i < 10; ++i) {
    getters.push_back(spawn([&, i] {
      q.get();
      served.push_back(i);
    }));
  }
  yield();
  for (int i = 0; i < 10; ++i) q.put(1);
  joinall(getters);
  EXPECT_TRUE(std::ranges::is_sorted(served));
  EXPECT_TRUE(q.empty());
}

TYPED_TEST(every_queue, has_the_same_time_limits) {
  TypeParam q(1);
  const stopwatch get;
  EXPECT_EQ(q.get_for(20ms), std::nullopt);
  expect_took(get, 20ms);
  q.put(1);
  const stopwatch put;
  EXPECT_FALSE(q.put_for(2, 20ms));
  expect_took(put, 20ms);
  EXPECT_FALSE(q.try_put(2));
  EXPECT_EQ(q.get_for(0ms), 1);
  EXPECT_EQ(q.try_get(), std::nullopt);
}

TYPED_TEST(every_queue, loses_nothing_when_a_getter_timed_out) {
  TypeParam q;
  EXPECT_EQ(q.get_for(1ms), std::nullopt);
  fiber<int> next = spawn([&] { return q.get(); });
  yield();
  q.put(1);
  EXPECT_EQ(next.get_for(10s), 1);
  q.put(2);
  EXPECT_EQ(q.size(), 1u);
  EXPECT_EQ(q.get(), 2);
}

TYPED_TEST(every_queue, without_capacity_is_a_rendezvous) {
  TypeParam q(0);
  bool has_put = false;
  fiber<> putter = spawn([&] {
    q.put(1);
    has_put = true;
  });
  yield();
  EXPECT_FALSE(has_put);
  EXPECT_TRUE(q.empty());
  EXPECT_TRUE(q.full());
  EXPECT_EQ(q.try_get(), 1);
  putter.join();
  EXPECT_EQ(q.try_get(), std::nullopt);
}

// peek

TYPED_TEST(every_queue, peek_returns_the_item_without_taking_it) {
  TypeParam q;
  q.put(7);
  EXPECT_EQ(q.peek(), 7);
  EXPECT_EQ(q.try_peek(), 7);
  EXPECT_EQ(q.peek_for(0ms), 7);
  EXPECT_EQ(q.size(), 1u);
  EXPECT_EQ(q.get(), 7);
  EXPECT_EQ(q.try_peek(), std::nullopt);
}

TYPED_TEST(every_queue, delivers_items_of_fibers_and_threads_that_have_ended) {
  TypeParam q;
  spawn([&] { q.put(1); }).join();
  EXPECT_EQ(q.get(), 1);
  std::thread([&] { spawn([&] { q.put(2); }).join(); }).join();
  EXPECT_EQ(q.get(), 2);
  fiber<> killed = spawn([&] {
    q.put(3);
    sleep(1h);
  });
  yield();
  killed.kill();
  EXPECT_EQ(q.get(), 3);
}

TYPED_TEST(every_queue, delivers_an_item_to_one_who_waited_though_its_putter_has_ended) {
  TypeParam q(0);
  fiber<int> getter = spawn([&] { return q.get(); });
  yield();
  fiber<> putter = spawn([&] { q.put(4); });
  putter.join();
  EXPECT_EQ(getter.get_for(10s), 4);
}

TYPED_TEST(every_queue, gives_an_item_to_the_next_when_the_first_getter_was_killed) {
  TypeParam q;
  fiber<int> first = spawn([&] { return q.get(); });
  fiber<int> second = spawn([&] { return q.get(); });
  fiber<int> third = spawn([&] { return q.get(); });
  yield();
  first.kill();
  EXPECT_THROW(first.get(), fiber_exit);
  q.put(5);
  EXPECT_EQ(second.get_for(10s), 5);
  EXPECT_FALSE(third.ready());
  third.kill();
  q.put(6);
  EXPECT_EQ(q.size(), 1u);
}

TYPED_TEST(every_queue, peek_blocks_while_the_queue_is_empty_and_wakes_on_put) {
  TypeParam q;
  fiber<int> peeker = spawn([&] { return q.peek(); });
  yield();
  EXPECT_FALSE(peeker.ready());
  q.put(3);
  EXPECT_EQ(peeker.get_for(10s), 3);
  EXPECT_EQ(q.size(), 1u);
}

TYPED_TEST(every_queue, peek_for_gives_up_after_its_time) {
  TypeParam q;
  const stopwatch watch;
  EXPECT_EQ(q.peek_for(20ms), std::nullopt);
  expect_took(watch, 20ms);
  q.put(1);
  EXPECT_EQ(q.get(), 1);  // the peeker that gave up has left nothing behind
}

TYPED_TEST(every_queue, all_who_peek_see_an_item_that_a_waiting_getter_takes) {
  TypeParam q;
  fiber<int> getter = spawn([&] { return q.get(); });
  std::vector<fiber<int>> peekers;
  for (int i = 0; i < 3; ++i) peekers.push_back(spawn([&] { return q.peek(); }));
  yield();
  q.put(5);
  EXPECT_EQ(getter.get_for(10s), 5);
  for (auto& peeker : peekers) EXPECT_EQ(peeker.get_for(10s), 5);
  EXPECT_TRUE(q.empty());
}

TYPED_TEST(every_queue, peek_sees_the_item_of_a_putter_that_waits_at_a_rendezvous) {
  TypeParam q(0);
  fiber<int> early = spawn([&] { return q.peek(); });
  yield();
  fiber<> putter = spawn([&] { q.put(4); });
  EXPECT_EQ(early.get_for(10s), 4);
  EXPECT_EQ(q.try_peek(), 4);
  EXPECT_FALSE(putter.ready());
  EXPECT_EQ(q.get(), 4);
  putter.join();
  EXPECT_EQ(q.try_peek(), std::nullopt);
}

TYPED_TEST(every_queue, a_killed_peek_leaves_nothing_behind) {
  TypeParam q;
  fiber<> peeker = spawn([&] {
    q.peek();
    ADD_FAILURE() << "was killed";
  });
  yield();
  peeker.kill();
  q.put(1);
  EXPECT_EQ(q.get(), 1);
}

// Iteration

TYPED_TEST(every_queue, iterating_ends_when_it_has_been_shut_down_and_is_empty) {
  TypeParam q;
  int sum = 0;
  fiber<> consumer = spawn([&] {
    for (int& item : q) sum += item;
  });
  for (int i = 0; i < 10; ++i) q.put(1);
  yield();
  EXPECT_EQ(sum, 10);
  EXPECT_FALSE(consumer.ready());
  q.put(1);
  q.shutdown();
  EXPECT_TRUE(consumer.join_for(10s));
  EXPECT_EQ(sum, 11);
  for ([[maybe_unused]] int item : q) ADD_FAILURE() << "nothing is left";
}

TYPED_TEST(every_queue, iterating_ends_at_the_stop_item) {
  TypeParam q;
  std::vector<int> seen;
  fiber<> consumer = spawn([&] {
    for (const int item : q.until(0)) seen.push_back(item);
  });
  for (const int item : {1, 1, 0, 2}) {
    q.put(item);
    yield();
  }
  EXPECT_TRUE(consumer.join_for(10s));
  EXPECT_EQ(seen, (std::vector{1, 1}));
  EXPECT_EQ(q.get(), 2);  // the stop item was taken, what follows was not
}

TYPED_TEST(every_queue, iterating_up_to_a_stop_item_ends_at_a_shutdown_as_well) {
  TypeParam q;
  q.put(1);
  q.shutdown();
  int seen = 0;
  for ([[maybe_unused]] const int item : q.until(0)) ++seen;
  EXPECT_EQ(seen, 1);
}

TYPED_TEST(every_queue, iterating_a_rendezvous_ends_at_the_stop_item) {
  TypeParam q(0);
  std::vector<int> seen;
  fiber<> consumer = spawn([&] {
    for (const int item : q.until(0)) seen.push_back(item);
  });
  for (const int item : {3, 2, 1, 0}) q.put(item);
  EXPECT_TRUE(consumer.join_for(10s));
  EXPECT_EQ(seen, (std::vector{3, 2, 1}));
}

TYPED_TEST(every_queue, iterating_ends_when_another_thread_shuts_it_down) {
  TypeParam q;
  std::atomic<int> sum{0};
  std::vector<fiber<>> consumers;
  for (int i = 0; i < 3; ++i) {
    consumers.push_back(spawn([&] {
      for (const int item : q) sum += item;
    }));
  }
  yield();
  std::thread([&] {
    for (int i = 0; i < 10; ++i) q.put(1);
    q.shutdown();
  }).join();
  EXPECT_EQ(joinall(consumers, 10s), 3u);
  EXPECT_EQ(sum, 10);
}

TYPED_TEST(every_queue, several_fibers_may_iterate_and_each_item_comes_once) {
  TypeParam q(3);
  int sum = 0;
  std::vector<fiber<>> consumers;
  for (int i = 0; i < 4; ++i) {
    consumers.push_back(spawn([&] {
      for (const int item : q) {
        sum += item;
        yield();
      }
    }));
  }
  for (int i = 1; i <= 100; ++i) q.put(i);
  q.shutdown();
  EXPECT_EQ(joinall(consumers, 10s), 4u);
  EXPECT_EQ(sum, 5050);
}

// Several threads

/// Puts and gets with fibers of two threads, then shuts down; each item arrives exactly once.
template <class Queue>
void exchange_until_shutdown(std::size_t capacity, int items) {
  Queue q(capacity);
  std::vector<std::atomic<int>> seen(static_cast<std::size_t>(items));
  std::atomic<int> putters_left{4};
  auto putter = [&](int first) {
    for (int i = first; i < items; i += 4) q.put(i);
    if (--putters_left == 0) q.shutdown();
  };
  auto getter = [&] {
    for (const int item : q) {
      ++seen[static_cast<std::size_t>(item)];
      q.task_done();
    }
  };
  auto both = [&](int first) {
    std::vector<fiber<>> fibers{spawn(putter, first), spawn(getter), spawn(putter, first + 1),
                                spawn(getter)};
    EXPECT_EQ(joinall(fibers, 60s), 4u);
  };
  std::thread other(both, 2);
  both(0);
  other.join();
  EXPECT_TRUE(std::ranges::all_of(seen, [](const std::atomic<int>& n) { return n == 1; }));
  EXPECT_EQ(q.unfinished_tasks(), 0u);
}

TYPED_TEST(every_queue, of_several_threads_passes_every_item_once_without_a_bound) {
  exchange_until_shutdown<TypeParam>(TypeParam::unbounded, scaled(20'000));
}
TYPED_TEST(every_queue, of_several_threads_passes_every_item_once_within_a_bound) {
  exchange_until_shutdown<TypeParam>(5, scaled(20'000));
}
TYPED_TEST(every_queue, of_several_threads_passes_every_item_once_at_a_rendezvous) {
  exchange_until_shutdown<TypeParam>(0, scaled(20'000));
}

// Kills

TYPED_TEST(every_queue, a_killed_getter_or_putter_moves_nothing) {
  TypeParam q(1);
  fiber<> getter = spawn([&] { q.get(); });
  yield();
  getter.kill();
  q.put(1);
  EXPECT_EQ(q.size(), 1u);
  fiber<> putter = spawn([&] { q.put(2); });
  yield();
  putter.kill();
  EXPECT_EQ(q.get(), 1);
  EXPECT_EQ(q.try_get(), std::nullopt);
  fiber<> joiner = spawn([&] { q.join(); });
  yield();
  joiner.kill();
  q.task_done();
}

/// Throws when it is copied while told to.
struct fragile {
  static inline bool fails = false;
  fragile() = default;
  fragile(const fragile&) {
    if (fails) throw std::runtime_error("cannot be copied");
  }
  fragile(fragile&&) noexcept {}
};

using queue_peek_test = runtime_test;

TEST_F(queue_peek_test, what_copying_throws_comes_out_of_peek_and_harms_nobody_else) {
  queue<fragile> q;
  fragile::fails = true;
  fiber<> peeker = spawn([&] { EXPECT_THROW(q.peek(), std::runtime_error); });
  yield();
  q.put(fragile());
  EXPECT_TRUE(peeker.join_for(10s));
  EXPECT_THROW(q.try_peek(), std::runtime_error);
  EXPECT_EQ(q.size(), 1u);
  fragile::fails = false;
  q.peek();
  EXPECT_TRUE(q.try_get());
}

}  // namespace
}  // namespace coir::test
