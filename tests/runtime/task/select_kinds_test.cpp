// Selects over queues, events and ends of fibers, and over lists made at run time.
#include "tests/runtime/support.hpp"

#include <memory>
#include <span>
#include <string>

namespace coir::test {
namespace {

using select_kinds_test = runtime_test;

TEST_F(select_kinds_test, gets_from_and_puts_into_queues_of_every_kind) {
  queue<int> fifo;
  lifo_queue<int> lifo(1);
  priority_queue<int> sorted;
  EXPECT_EQ(select(on_get(fifo), on_put(lifo, 5)), 1u);
  int got = 0;
  EXPECT_EQ(select(on_get(fifo), on_put(lifo, 6), on_get(lifo, [&](int item) { got = item; })), 2u);
  EXPECT_EQ(got, 5);
  fiber<> waiter = spawn([&] { select(on_get(sorted, [&](int item) { got = item; })); });
  yield();
  sorted.put(7);
  waiter.join();
  EXPECT_EQ(got, 7);
  EXPECT_EQ(sorted.unfinished_tasks(), 1u);
}

TEST_F(select_kinds_test, a_queue_that_is_shut_down_throws_out_of_the_select) {
  queue<int> q(1);
  q.put(1);
  fiber<> putter = spawn([&] { EXPECT_THROW(select(on_put(q, 2), after(1h)), shut_down); });
  yield();
  q.shutdown();
  EXPECT_TRUE(putter.join_for(10s));
  int got = 0;
  select(on_get(q, [&](int item) { got = item; }));
  EXPECT_EQ(got, 1);
  EXPECT_THROW(select(on_get(q)), shut_down);
  EXPECT_THROW(select(on_put(q, 2)), shut_down);

  queue<int> empty;
  fiber<> getter = spawn([&] { EXPECT_THROW(select(on_get(empty), after(1h)), shut_down); });
  yield();
  empty.shutdown_now();
  EXPECT_TRUE(getter.join_for(10s));
}

TEST_F(select_kinds_test, a_put_that_waits_at_a_rendezvous_is_seen_by_peek) {
  queue<int> q(0);
  fiber<int> peeker = spawn([&] { return q.peek(); });
  yield();
  fiber<> putter = spawn([&] { select(on_put(q, 6), after(1h)); });
  EXPECT_EQ(peeker.get_for(10s), 6);
  EXPECT_EQ(q.try_peek(), 6);
  EXPECT_EQ(q.get(), 6);
  putter.join();
}

TEST_F(select_kinds_test, waits_for_events_and_for_the_end_of_fibers) {
  event flag;
  channel<int> c;
  fiber<int> worker = spawn([&] {
    flag.wait();
    return 3;
  });
  EXPECT_EQ(select(on_recv(c), on_set(flag), on_join(worker), after(5ms)), 3u);
  fiber<std::size_t> waiter = spawn([&] { return select(on_recv(c), on_set(flag)); });
  yield();
  flag.set();
  EXPECT_EQ(waiter.get(), 1u);
  bool has_joined = false;
  EXPECT_EQ(select(on_recv(c), on_join(worker, [&] { has_joined = true; })), 1u);
  EXPECT_TRUE(has_joined);
  EXPECT_EQ(select(on_join(worker), on_recv(c)), 0u);
  EXPECT_EQ(select(on_set(flag), on_recv(c)), 0u);
  EXPECT_EQ(worker.get(), 3);
}

TEST_F(select_kinds_test, takes_a_list_of_any_length_made_at_run_time) {
  constexpr std::size_t count = 500;
  std::vector<std::unique_ptr<channel<int>>> channels;
  std::vector<select_case> cases;
  int sum = 0;
  for (std::size_t i = 0; i < count; ++i) {
    channels.push_back(std::make_unique<channel<int>>(i % 2));
    cases.push_back(on_recv(*channels.back(), [&](std::optional<int> n) { sum += *n; }));
  }
  cases.push_back(after(20ms));
  EXPECT_EQ(select(cases), count);
  fiber<> sender = spawn([&] {
    for (std::size_t i = 0; i < count; ++i) channels[i * 7 % count]->send(1);
  });
  cases.pop_back();
  std::vector<bool> has_come(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t place = select(cases);
    ASSERT_FALSE(has_come[place]);
    has_come[place] = true;
  }
  EXPECT_EQ(sum, static_cast<int>(count));
  sender.join();
  EXPECT_FALSE(channels[0]->try_send(1));
}

TEST_F(select_kinds_test, a_list_may_hold_cases_of_all_kinds_and_be_used_again) {
  channel<std::string> words(2);
  queue<int> numbers;
  std::string word = "first";
  std::vector<select_case> cases;
  cases.push_back(on_send(words, word));
  EXPECT_EQ(select(cases), 0u);
  word = "second";
  EXPECT_EQ(select(cases), 0u);
  EXPECT_EQ(words.recv(), "first");
  EXPECT_EQ(words.recv(), "second");

  int got = 0;
  cases.clear();
  cases.push_back(on_recv(words, [](auto item) { EXPECT_EQ(item, std::nullopt); }));
  cases.push_back(on_get(numbers, [&](int n) { got += n; }));
  cases.push_back(otherwise());
  EXPECT_EQ(select(cases), 2u);
  for (int i = 0; i < 3; ++i) {
    numbers.put(1);
    EXPECT_EQ(select(cases), 1u);
  }
  EXPECT_EQ(got, 3);
  words.close();
  EXPECT_EQ(select(cases), 0u);
  EXPECT_EQ(select(std::span<select_case>(cases).subspan(1)), 1u);
}

TEST_F(select_kinds_test, a_moved_from_case_of_a_list_is_never_ready) {
  channel<int> c(1);
  std::vector<select_case> cases;
  cases.push_back(on_send(c, 1));
  cases.push_back(otherwise());
  select_case taken = std::move(cases[0]);
  EXPECT_EQ(select(cases), 1u);
  EXPECT_EQ(select(std::span(&taken, 1)), 0u);
  EXPECT_EQ(c.recv(), 1);
}

}  // namespace
}  // namespace coir::test
