// Go's channels.
#include "tests/runtime/support.hpp"

#include <algorithm>
#include <atomic>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <thread>

namespace coir::test {
namespace {

using channel_test = runtime_test;

static_assert(std::input_iterator<decltype(std::declval<channel<int>&>().begin())>);
static_assert(std::is_base_of_v<std::logic_error, channel_closed>);

TEST_F(channel_test, without_capacity_a_send_waits_until_its_item_is_received) {
  channel<int> c;
  EXPECT_EQ(c.capacity(), 0u);
  bool is_sent = false;
  fiber<> sender = spawn([&] {
    c.send(1);
    is_sent = true;
  });
  yield();
  EXPECT_FALSE(is_sent);
  EXPECT_EQ(c.size(), 0u);
  EXPECT_EQ(c.recv(), 1);
  sender.join();
}

TEST_F(channel_test, a_recv_waits_for_a_send) {
  channel<int> c;
  fiber<std::optional<int>> receiver = spawn([&] { return c.recv(); });
  yield();
  EXPECT_FALSE(receiver.ready());
  c.send(2);
  EXPECT_EQ(receiver.get(), 2);
}

TEST_F(channel_test, with_capacity_n_the_send_after_n_waits) {
  channel<int> c(3);
  EXPECT_EQ(c.capacity(), 3u);
  int sent = 0;
  fiber<> sender = spawn([&] {
    for (; sent < 5; ++sent) c.send(sent);
  });
  yield();
  EXPECT_EQ(sent, 3);
  EXPECT_EQ(c.size(), 3u);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(c.recv(), i);
  sender.join();
}

TEST_F(channel_test, senders_and_receivers_are_served_in_order_of_arrival) {
  channel<int> c;
  std::vector<fiber<>> fibers;
  for (int i = 0; i < 10; ++i) fibers.push_back(spawn([&, i] { c.send(i); }));
  yield();
  for (int i = 0; i < 10; ++i) EXPECT_EQ(c.recv(), i);
  for (int i = 0; i < 10; ++i) fibers.push_back(spawn([&, i] { EXPECT_EQ(c.recv(), i); }));
  yield();
  for (int i = 0; i < 10; ++i) c.send(i);
  joinall(fibers);
}

TEST_F(channel_test, try_send_needs_room_or_a_receiver_and_keeps_the_item_otherwise) {
  channel<std::unique_ptr<int>> c;
  auto item = std::make_unique<int>(1);
  EXPECT_FALSE(c.try_send(item));
  ASSERT_TRUE(item);
  fiber<> receiver = spawn([&] { EXPECT_EQ(**c.recv(), 1); });
  yield();
  EXPECT_TRUE(c.try_send(item));
  EXPECT_FALSE(item);
  receiver.join();

  channel<int> buffered(1);
  EXPECT_TRUE(buffered.try_send(1));
  EXPECT_FALSE(buffered.try_send(2));
  EXPECT_EQ(buffered.recv(), 1);
}

TEST_F(channel_test, send_for_gives_up_after_its_time_and_nothing_is_delivered) {
  channel<int> c;
  const stopwatch watch;
  int item = 1;
  EXPECT_FALSE(c.send_for(item, 20ms));
  expect_took(watch, 20ms);
  EXPECT_FALSE(c.send_for(2, 0ms));
  EXPECT_FALSE(c.try_recv());
}

TEST_F(channel_test, try_recv_and_recv_for_tell_empty_from_closed) {
  channel<int> c(1);
  received<int> nothing = c.try_recv();
  EXPECT_FALSE(nothing);
  EXPECT_FALSE(nothing.is_closed());
  const stopwatch watch;
  nothing = c.recv_for(20ms);
  expect_took(watch, 20ms);
  EXPECT_FALSE(nothing);
  EXPECT_FALSE(nothing.is_closed());

  c.send(7);
  c.close();
  const received<int> last = c.recv_for(0ms);
  EXPECT_EQ(last, 7);
  EXPECT_FALSE(last.is_closed());
  nothing = c.try_recv();
  EXPECT_FALSE(nothing);
  EXPECT_TRUE(nothing.is_closed());
  EXPECT_TRUE(c.recv_for(10s).is_closed());
  EXPECT_EQ(c.recv(), std::nullopt);
}

TEST_F(channel_test, try_recv_takes_the_item_of_a_sender_that_waits_and_lets_it_go_on) {
  channel<int> c;
  fiber<> sender = spawn([&] { c.send(3); });
  yield();
  EXPECT_EQ(c.try_recv(), 3);
  EXPECT_TRUE(sender.join_for(10s));
}

TEST_F(channel_test, close_wakes_all_receivers_with_nothing) {
  channel<int> c;
  std::vector<fiber<>> receivers;
  for (int i = 0; i < 3; ++i) receivers.push_back(spawn([&] { EXPECT_FALSE(c.recv()); }));
  receivers.push_back(spawn([&] { EXPECT_TRUE(c.recv_for(1h).is_closed()); }));
  yield();
  EXPECT_FALSE(c.is_closed());
  c.close();
  EXPECT_TRUE(c.is_closed());
  EXPECT_EQ(joinall(receivers, 10s), 4u);
}

TEST_F(channel_test, close_fails_all_senders_that_wait_and_their_items_are_not_delivered) {
  channel<int> c(1);
  c.send(1);
  std::vector<fiber<>> senders;
  for (int i = 0; i < 3; ++i) {
    senders.push_back(spawn([&] { EXPECT_THROW(c.send(2), channel_closed); }));
  }
  senders.push_back(spawn([&] { EXPECT_THROW(c.send_for(2, 1h), channel_closed); }));
  yield();
  c.close();
  EXPECT_EQ(joinall(senders, 10s), 4u);
  EXPECT_EQ(c.recv(), 1);
  EXPECT_EQ(c.recv(), std::nullopt);
}

TEST_F(channel_test, sending_on_a_closed_channel_and_closing_it_twice_are_errors) {
  channel<int> c(4);
  c.close();
  EXPECT_THROW(c.send(1), channel_closed);
  EXPECT_THROW(c.send_for(1, 10s), channel_closed);
  EXPECT_THROW(c.try_send(1), channel_closed);
  EXPECT_THROW(c.close(), channel_closed);
  EXPECT_EQ(c.recv(), std::nullopt);
}

TEST_F(channel_test, what_lies_in_a_closed_channel_can_be_received) {
  channel<int> c(10);
  for (int i = 0; i < 10; ++i) c.send(i);
  c.close();
  EXPECT_EQ(c.size(), 10u);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(c.recv(), i);
  EXPECT_EQ(c.recv(), std::nullopt);
}

TEST_F(channel_test, range_for_receives_until_it_is_closed) {
  channel<int> c;
  fiber<> sender = spawn([&] {
    for (int i = 1; i <= 10; ++i) c.send(i);
    c.close();
  });
  int sum = 0;
  for (const int item : c) sum += item;
  EXPECT_EQ(sum, 55);
  sender.join();
  for ([[maybe_unused]] const int item : c) ADD_FAILURE() << "it is closed";
}

TEST_F(channel_test, an_item_of_a_fiber_or_thread_that_has_ended_is_delivered) {
  channel<int> c(2);
  spawn([&] { c.send(1); }).join();
  std::thread([&] { c.send(2); }).join();
  EXPECT_EQ(c.recv(), 1);
  EXPECT_EQ(c.recv(), 2);
  channel<int> direct;
  fiber<std::optional<int>> receiver = spawn([&] { return direct.recv(); });
  yield();
  std::thread([&] { direct.send(3); }).join();
  EXPECT_EQ(receiver.get_for(10s), 3);
}

TEST_F(channel_test, a_killed_sender_or_receiver_moves_nothing) {
  channel<int> c;
  fiber<> receiver = spawn([&] { c.recv(); });
  yield();
  receiver.kill();
  EXPECT_FALSE(c.try_send(1));
  fiber<> sender = spawn([&] { c.send(1); });
  yield();
  sender.kill();
  EXPECT_FALSE(c.try_recv());
}

TEST_F(channel_test, kills_that_race_with_sends_lose_no_item) {
  const int rounds = scaled(20'000);
  channel<int> c;
  int taken = 0;
  int sent = 0;
  for (int i = 0; i < rounds; ++i) {
    fiber<> receiver = spawn([&] { taken += *c.recv(); });
    if (i % 3) yield();
    if (i % 2) receiver.kill(false);
    sent += c.try_send(1);
    receiver.kill(false);
    receiver.join();
  }
  EXPECT_GT(sent, 0);
  EXPECT_EQ(taken, sent);
}

TEST_F(channel_test, a_plain_thread_talks_to_a_fiber) {
  channel<int> requests;
  channel<int> answers;
  std::thread server([&] {
    for (const int request : requests) answers.send(2 * request);
    answers.close();
  });
  for (int i = 0; i < 100; ++i) {
    requests.send(i);
    EXPECT_EQ(answers.recv(), 2 * i);
  }
  requests.close();
  EXPECT_EQ(answers.recv(), std::nullopt);
  server.join();
}

/// Sends from three threads and receives in three, with time limits that often pass, until the
/// channel is closed. Each item that a send reports arrives exactly once.
void pass_with_limits(std::size_t capacity, int items) {
  channel<int> c(capacity);
  std::vector<std::atomic<int>> seen(static_cast<std::size_t>(items));
  std::vector<std::atomic<int>> sent(static_cast<std::size_t>(items));
  std::atomic<int> senders_left{3};
  const stopwatch watch;
  auto send = [&](int first) {
    for (int i = first; i < items; i += 3) {
      const auto limit = microseconds(i % 50);
      sent[static_cast<std::size_t>(i)] = i % 2 ? c.send_for(i, limit) : c.try_send(i);
    }
    if (--senders_left == 0) c.close();
  };
  auto receive = [&] {
    while (watch.elapsed() < 60s) {
      const auto item = c.recv_for(microseconds(20));
      if (item.is_closed()) return;
      if (item) ++seen[static_cast<std::size_t>(*item)];
    }
    ADD_FAILURE() << "it was never closed";
  };
  auto both = [&](int first) { joinall(std::vector{spawn(send, first), spawn(receive)}); };
  std::thread second(both, 1);
  std::thread third(both, 2);
  both(0);
  second.join();
  third.join();
  int arrived = 0;
  for (std::size_t i = 0; i < seen.size(); ++i) {
    ASSERT_EQ(seen[i], sent[i]) << "item " << i;
    arrived += seen[i];
  }
  EXPECT_GT(arrived, 0);
}

TEST_F(channel_test, between_threads_each_item_arrives_exactly_when_its_send_says_so) {
  pass_with_limits(0, scaled(20'000));
}
TEST_F(channel_test, between_threads_each_item_arrives_exactly_when_its_send_says_so_buffered) {
  pass_with_limits(3, scaled(20'000));
}

TEST_F(channel_test, a_close_that_races_with_sends_leaves_each_item_in_one_place) {
  for (int round = 0; round < scaled(300); ++round) {
    channel<int> c(static_cast<std::size_t>(round % 3));
    std::atomic<int> sent{0};
    std::thread sender([&] {
      try {
        for (;; ++sent) c.send(1);
      } catch (const channel_closed&) {
      }
    });
    int got = 0;
    while (got < round % 20) got += *c.recv();
    c.close();
    for (const int item : c) got += item;
    sender.join();
    ASSERT_EQ(got, sent) << "round " << round;
  }
}

}  // namespace
}  // namespace coir::test
