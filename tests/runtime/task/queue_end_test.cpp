// How the use of a queue of any kind ends: task_done and join, shutdown.
#include "tests/runtime/task/every_queue.hpp"

#include <atomic>
#include <stdexcept>
#include <thread>

namespace coir::test {
namespace {

template <class Queue>
class queue_end : public every_queue<Queue> {};
TYPED_TEST_SUITE(queue_end, queue_kinds, kind_names);

// task_done and join

TYPED_TEST(queue_end, join_waits_until_all_that_was_put_has_been_done) {
  TypeParam q;
  q.join();  // nothing was put
  for (int i = 0; i < 3; ++i) q.put(i);
  EXPECT_EQ(q.unfinished_tasks(), 3u);
  fiber<> joiner = spawn([&] { q.join(); });
  for (int i = 0; i < 3; ++i) {
    q.get();
    yield();
    EXPECT_FALSE(joiner.ready());
    q.task_done();
  }
  EXPECT_TRUE(joiner.join_for(10s));
  EXPECT_EQ(q.unfinished_tasks(), 0u);
  EXPECT_TRUE(q.join_for(0ms));
}

TYPED_TEST(queue_end, join_for_gives_up_after_its_time) {
  TypeParam q;
  q.put(1);
  const stopwatch watch;
  EXPECT_FALSE(q.join_for(20ms));
  expect_took(watch, 20ms);
  EXPECT_FALSE(q.join_for(0ms));
  q.get();
  q.task_done();
  EXPECT_TRUE(q.join_for(0ms));
}

TYPED_TEST(queue_end, the_last_task_done_releases_all_who_join_in_order) {
  TypeParam q;
  q.put(1);
  std::vector<int> order;
  std::vector<fiber<>> joiners;
  for (int i = 0; i < 4; ++i) {
    joiners.push_back(spawn([&, i] {
      q.join();
      order.push_back(i);
    }));
  }
  yield();
  q.get();
  EXPECT_TRUE(order.empty());
  q.task_done();
  EXPECT_EQ(joinall(joiners, 10s), 4u);
  EXPECT_EQ(order, (std::vector{0, 1, 2, 3}));
}

TYPED_TEST(queue_end, task_done_more_often_than_put_is_an_error) {
  TypeParam q;
  EXPECT_THROW(q.task_done(), std::logic_error);
  q.put(1);
  q.task_done();
  EXPECT_THROW(q.task_done(), std::logic_error);
  EXPECT_EQ(q.unfinished_tasks(), 0u);
}

TYPED_TEST(queue_end, counts_items_that_went_straight_to_a_getter_or_waited_for_room) {
  TypeParam q(1);
  fiber<> getter = spawn([&] { q.get(); });
  yield();
  q.put(1);
  EXPECT_EQ(q.unfinished_tasks(), 1u);
  q.put(2);
  fiber<> putter = spawn([&] { q.put(3); });
  yield();
  EXPECT_EQ(q.unfinished_tasks(), 2u) << "the third has not been put yet";
  q.get();
  joinall(std::vector{getter, putter});
  EXPECT_EQ(q.unfinished_tasks(), 3u);
}

TYPED_TEST(queue_end, a_failed_put_is_no_task) {
  TypeParam q(1);
  q.put(1);
  EXPECT_FALSE(q.try_put(2));
  EXPECT_FALSE(q.put_for(2, 1ms));
  fiber<> killed = spawn([&] { q.put(2); });
  yield();
  killed.kill();
  EXPECT_EQ(q.unfinished_tasks(), 1u);
}

TYPED_TEST(queue_end, workers_finish_what_producers_put_before_join_returns) {
  TypeParam q(4);
  std::atomic<int> done{0};
  std::vector<fiber<>> workers;
  for (int i = 0; i < 3; ++i) {
    workers.push_back(spawn([&] {
      for ([[maybe_unused]] const int item : q) {
        yield();
        ++done;
        q.task_done();
      }
    }));
  }
  event has_produced;
  std::thread producer([&] {
    for (int i = 0; i < 200; ++i) q.put(i);
    has_produced.set();
  });
  for (int i = 0; i < 200; ++i) q.put(i);
  EXPECT_TRUE(has_produced.wait_for(20s));
  producer.join();
  EXPECT_TRUE(q.join_for(20s));
  EXPECT_EQ(done, 400);
  q.shutdown();
  joinall(workers);
}

// shutdown

TYPED_TEST(queue_end, after_shutdown_puts_fail_at_once_in_every_form) {
  TypeParam q;
  q.put(1);
  EXPECT_FALSE(q.is_shut_down());
  q.shutdown();
  EXPECT_TRUE(q.is_shut_down());
  const stopwatch watch;
  EXPECT_THROW(q.put(2), shut_down);
  EXPECT_THROW(q.put_for(2, 10s), shut_down);
  EXPECT_THROW(q.put_for(2, 0s), shut_down);
  EXPECT_THROW(q.try_put(2), shut_down);
  expect_prompt(watch);
  EXPECT_EQ(q.size(), 1u);
}

TYPED_TEST(queue_end, after_shutdown_gets_deliver_what_is_left_and_then_fail_in_every_form) {
  TypeParam q;
  for (int i = 0; i < 4; ++i) q.put(1);
  q.shutdown();
  EXPECT_EQ(q.peek(), 1);
  EXPECT_EQ(q.get(), 1);
  EXPECT_EQ(q.get_for(10s), 1);
  EXPECT_EQ(q.get_for(0s), 1);
  EXPECT_EQ(q.try_get(), 1);
  const stopwatch watch;
  EXPECT_THROW(q.get(), shut_down);
  EXPECT_THROW(q.get_for(10s), shut_down);
  EXPECT_THROW(q.get_for(0s), shut_down);
  EXPECT_THROW(q.try_get(), shut_down);
  EXPECT_THROW(q.peek(), shut_down);
  EXPECT_THROW(q.peek_for(10s), shut_down);
  EXPECT_THROW(q.try_peek(), shut_down);
  expect_prompt(watch);
}

TYPED_TEST(queue_end, shutdown_ends_getters_and_peekers_that_wait) {
  TypeParam q;
  std::vector<fiber<>> waiters{spawn([&] { EXPECT_THROW(q.get(), shut_down); }),
                               spawn([&] { EXPECT_THROW(q.get_for(1h), shut_down); }),
                               spawn([&] { EXPECT_THROW(q.peek(), shut_down); }),
                               spawn([&] { EXPECT_THROW(q.peek_for(1h), shut_down); })};
  yield();
  q.shutdown();
  EXPECT_EQ(joinall(waiters, 10s), 4u);
}

TYPED_TEST(queue_end, shutdown_ends_putters_that_wait_and_their_items_are_not_delivered) {
  TypeParam q(1);
  q.put(1);
  std::vector<fiber<>> putters{spawn([&] { EXPECT_THROW(q.put(2), shut_down); }), spawn([&] {
                                 int kept = 3;
                                 EXPECT_THROW(q.put_for(kept, 1h), shut_down);
                                 EXPECT_EQ(kept, 3);
                               })};
  yield();
  q.shutdown();
  EXPECT_EQ(joinall(putters, 10s), 2u);
  EXPECT_EQ(q.get(), 1);
  EXPECT_THROW(q.get(), shut_down);
  EXPECT_EQ(q.unfinished_tasks(), 1u);
}

TYPED_TEST(queue_end, immediate_shutdown_drops_the_items_and_releases_join) {
  TypeParam q(2);
  q.put(1);
  q.put(2);
  fiber<> joiner = spawn([&] { q.join(); });
  fiber<> putter = spawn([&] { EXPECT_THROW(q.put(3), shut_down); });
  yield();
  q.shutdown_now();
  EXPECT_TRUE(joiner.join_for(10s));
  EXPECT_TRUE(putter.join_for(10s));
  EXPECT_TRUE(q.empty());
  EXPECT_EQ(q.unfinished_tasks(), 0u);
  EXPECT_THROW(q.get(), shut_down);
  EXPECT_THROW(q.put(1), shut_down);
}

TYPED_TEST(queue_end, immediate_shutdown_fails_the_gets_that_wait_and_later_ones) {
  TypeParam q;
  std::vector<fiber<>> waiters{spawn([&] { EXPECT_THROW(q.get(), shut_down); }),
                               spawn([&] { EXPECT_THROW(q.get_for(1h), shut_down); }),
                               spawn([&] { EXPECT_THROW(q.peek(), shut_down); })};
  yield();
  q.shutdown_now();
  EXPECT_EQ(joinall(waiters, 10s), 3u);
  EXPECT_THROW(q.try_get(), shut_down);
  EXPECT_THROW(q.get_for(10s), shut_down);
}

TYPED_TEST(queue_end, immediate_shutdown_still_joins_what_was_got_and_not_done) {
  TypeParam q;
  q.put(1);
  q.put(2);
  q.get();
  q.shutdown_now();
  EXPECT_EQ(q.unfinished_tasks(), 1u);
  EXPECT_FALSE(q.join_for(1ms));
  q.task_done();
  EXPECT_TRUE(q.join_for(0ms));
}

TYPED_TEST(queue_end, a_shutdown_can_be_repeated_and_made_immediate) {
  TypeParam q;
  q.put(1);
  q.shutdown();
  q.shutdown();
  EXPECT_EQ(q.size(), 1u);
  q.shutdown_now();
  q.shutdown_now();
  EXPECT_TRUE(q.empty());
}

TYPED_TEST(queue_end, a_shutdown_from_another_thread_ends_those_who_wait_in_this_one) {
  TypeParam q;
  fiber<> getter = spawn([&] { EXPECT_THROW(q.get(), shut_down); });
  yield();
  std::thread([&] { q.shutdown(); }).join();
  EXPECT_TRUE(getter.join_for(10s));
}

}  // namespace
}  // namespace coir::test
