// Which item a get brings: the oldest, the newest or the smallest; and that stores keep what they
// hold, however it got in.
#include "tests/runtime/support.hpp"

#include <algorithm>
#include <functional>
#include <memory>
#include <random>
#include <string>

namespace coir::test {
namespace {

using queue_order_test = runtime_test;

/// What gets bring until the queue is empty.
template <class Queue>
auto drained(Queue& q) {
  std::vector<typename Queue::value_type> items;
  while (auto item = q.try_get()) items.push_back(std::move(*item));
  return items;
}

TEST_F(queue_order_test, a_fifo_keeps_the_order_while_its_ring_wraps_and_grows) {
  queue<int> q;
  std::minstd_rand random(1);
  int put = 0;
  int got = 0;
  for (int round = 0; round < 1000; ++round) {
    for (auto n = random() % 40; n > 0; --n) q.put(put++);
    for (auto n = random() % 38; n > 0 && got < put; --n) ASSERT_EQ(q.get(), got++);
    ASSERT_EQ(q.size(), static_cast<std::size_t>(put - got));
  }
  for (const int item : drained(q)) ASSERT_EQ(item, got++);
  EXPECT_EQ(got, put);
}

TEST_F(queue_order_test, a_fifo_goes_on_after_a_burst_gave_its_memory_back) {
  queue<std::string> q;
  for (const int burst : {5000, 1, 5000, 3}) {
    for (int i = 0; i < burst; ++i) q.put(std::to_string(i) + " is long enough for the heap");
    for (int i = 0; i < burst; ++i) ASSERT_EQ(std::stoi(q.get()), i);
  }
}

TEST_F(queue_order_test, a_lifo_brings_the_newest_item_first) {
  lifo_queue<int> q;
  for (int i = 0; i < 5; ++i) q.put(i);
  EXPECT_EQ(q.get(), 4);
  q.put(7);
  EXPECT_EQ(q.try_peek(), 7);
  EXPECT_EQ(drained(q), (std::vector{7, 3, 2, 1, 0}));
}

TEST_F(queue_order_test, a_priority_queue_brings_the_smallest_item_first) {
  priority_queue<int> q;
  for (const int item : {5, 2, 8, 2, 9, 1}) q.put(item);
  EXPECT_EQ(q.try_peek(), 1);
  EXPECT_EQ(q.get(), 1);
  q.put(0);
  EXPECT_EQ(drained(q), (std::vector{0, 2, 2, 5, 8, 9}));
}

TEST_F(queue_order_test, a_priority_queue_sorts_many_items_in_any_order) {
  priority_queue<int> q;
  std::minstd_rand random(2);
  std::vector<int> items;
  for (int i = 0; i < 3000; ++i) items.push_back(static_cast<int>(random() % 1000));
  for (const int item : items) q.put(item);
  std::ranges::sort(items);
  EXPECT_EQ(drained(q), items);
}

TEST_F(queue_order_test, a_priority_queue_takes_the_comparison_it_is_given) {
  const auto by_length = [](const std::string& a, const std::string& b) {
    return a.size() > b.size();
  };
  priority_queue<std::string, decltype(by_length)> longest_first(10, by_length);
  for (const char* text : {"aa", "a", "aaaa", "aaa"}) longest_first.put(text);
  EXPECT_EQ(drained(longest_first), (std::vector<std::string>{"aaaa", "aaa", "aa", "a"}));

  priority_queue<int, std::greater<int>> largest_first;
  for (const int item : {1, 3, 2}) largest_first.put(item);
  EXPECT_EQ(drained(largest_first), (std::vector{3, 2, 1}));
}

struct job {
  int urgency;
  int number;
  bool operator<(const job& other) const { return urgency < other.urgency; }
};

TEST_F(queue_order_test, of_items_with_the_same_priority_the_oldest_comes_first) {
  priority_queue<job> q;
  for (int i = 0; i < 300; ++i) q.put({i % 3, i});
  job last = q.get();
  for (int i = 1; i < 300; ++i) {
    const job next = q.get();
    ASSERT_TRUE(last.urgency < next.urgency ||
                (last.urgency == next.urgency && last.number < next.number))
        << "item " << i;
    last = next;
  }
}

TEST_F(queue_order_test, a_waiting_putter_of_a_full_priority_queue_gets_in_by_its_turn) {
  priority_queue<int> q(2);
  q.put(5);
  q.put(6);
  std::vector<fiber<>> putters{spawn([&] { q.put(9); }), spawn([&] { q.put(1); })};
  yield();
  EXPECT_EQ(q.get(), 5);  // now 9 is in, 1 waits still
  EXPECT_EQ(q.get(), 6);
  EXPECT_EQ(q.get(), 1);
  EXPECT_EQ(q.get(), 9);
  joinall(putters);
}

TEST_F(queue_order_test, a_waiting_putter_of_a_full_lifo_comes_out_next) {
  lifo_queue<int> q(2);
  q.put(1);
  q.put(2);
  fiber<> putter = spawn([&] { q.put(3); });
  yield();
  EXPECT_EQ(q.get(), 2);
  EXPECT_EQ(q.get(), 3);
  EXPECT_EQ(q.get(), 1);
  putter.join();
}

TEST_F(queue_order_test, items_that_only_move_pass_through_every_kind) {
  const auto smaller = [](const std::unique_ptr<int>& a, const std::unique_ptr<int>& b) {
    return *a < *b;
  };
  queue<std::unique_ptr<int>> fifo;
  lifo_queue<std::unique_ptr<int>> lifo;
  priority_queue<std::unique_ptr<int>, decltype(smaller)> priority(8, smaller);
  for (const int i : {2, 1, 3}) {
    fifo.put(std::make_unique<int>(i));
    lifo.put(std::make_unique<int>(i));
    priority.put(std::make_unique<int>(i));
  }
  for (const int i : {2, 1, 3}) EXPECT_EQ(*fifo.get(), i);
  for (const int i : {3, 1, 2}) EXPECT_EQ(*lifo.get(), i);
  for (const int i : {1, 2, 3}) EXPECT_EQ(**priority.try_get(), i);
}

TEST_F(queue_order_test, a_type_that_only_looks_copyable_can_be_passed) {
  queue<std::vector<std::unique_ptr<int>>> q;  // is_copy_constructible says yes
  q.put({});
  EXPECT_TRUE(q.get().empty());
}

TEST_F(queue_order_test, every_kind_destroys_the_items_that_are_left) {
  const auto token = std::make_shared<int>(0);
  const auto any = [](const auto&, const auto&) { return false; };
  {
    queue<std::shared_ptr<int>> fifo;
    lifo_queue<std::shared_ptr<int>> lifo;
    priority_queue<std::shared_ptr<int>, decltype(any)> priority(100, any);
    for (int i = 0; i < 20; ++i) {
      fifo.put(token);
      lifo.put(token);
      priority.put(token);
      if (i % 4 == 0) fifo.get();
    }
    EXPECT_EQ(token.use_count(), 56);
  }
  EXPECT_EQ(token.use_count(), 1);
}

}  // namespace
}  // namespace coir::test
