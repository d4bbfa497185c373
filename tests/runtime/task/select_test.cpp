// What a select over channels does, seen from one worker. select_kinds_test.cpp has cases of other
// kinds and lists of them, select_race_test.cpp several threads.
#include "tests/runtime/support.hpp"

#include <array>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

namespace coir::test {
namespace {

using select_test = runtime_test;

TEST_F(select_test, runs_the_case_that_is_ready_and_returns_its_place) {
  channel<int> first(1);
  channel<int> second(1);
  second.send(5);
  std::optional<int> got;
  EXPECT_EQ(select(on_recv(first, [](auto) { ADD_FAILURE() << "is empty"; }),
                   on_recv(second, [&](std::optional<int> item) { got = item; })),
            1u);
  EXPECT_EQ(got, 5);
  EXPECT_EQ(second.size(), 0u);
}

TEST_F(select_test, waits_until_a_case_becomes_ready) {
  channel<int> first;
  channel<int> second;
  int got = 0;
  fiber<std::size_t> waiter = spawn([&] {
    return select(on_recv(first, [&](std::optional<int> item) { got = *item; }),
                  on_recv(second, [&](std::optional<int> item) { got = *item; }));
  });
  yield();
  EXPECT_FALSE(waiter.ready());
  second.send(9);
  EXPECT_EQ(waiter.get(), 1u);
  EXPECT_EQ(got, 9);
  EXPECT_FALSE(first.try_send(1)) << "nobody waits any more";
  EXPECT_FALSE(second.try_send(1));
}

TEST_F(select_test, sends_to_a_receiver_that_waits_and_to_one_that_comes_later) {
  channel<int> c;
  fiber<std::optional<int>> early = spawn([&] { return c.recv(); });
  yield();
  bool is_sent = false;
  EXPECT_EQ(select(on_send(c, 1, [&] { is_sent = true; })), 0u);
  EXPECT_TRUE(is_sent);
  EXPECT_EQ(early.get(), 1);

  fiber<> sender = spawn([&] { select(on_send(c, 2)); });
  yield();
  EXPECT_FALSE(sender.ready());
  EXPECT_EQ(c.recv(), 2);
  EXPECT_TRUE(sender.join_for(10s));
}

TEST_F(select_test, sends_into_a_buffer_that_has_room_and_waits_for_room) {
  channel<int> c(1);
  select(on_send(c, 1));
  fiber<> sender = spawn([&] { select(on_send(c, 2)); });
  yield();
  EXPECT_FALSE(sender.ready());
  EXPECT_EQ(c.recv(), 1);
  EXPECT_TRUE(sender.join_for(10s));
  EXPECT_EQ(c.recv(), 2);
}

TEST_F(select_test, an_item_that_is_not_sent_is_unchanged) {
  channel<std::unique_ptr<int>> c;
  auto item = std::make_unique<int>(4);
  EXPECT_EQ(select(on_send(c, item), otherwise()), 1u);
  ASSERT_TRUE(item);
  EXPECT_EQ(select(on_send(c, item), after(1ms)), 1u);
  ASSERT_TRUE(item);
  fiber<> receiver = spawn([&] { EXPECT_EQ(**c.recv(), 4); });
  EXPECT_EQ(select(on_send(c, item), after(10s)), 0u);
  EXPECT_FALSE(item);
  receiver.join();
}

TEST_F(select_test, an_item_that_is_no_variable_is_kept_and_a_constant_is_copied) {
  channel<std::string> c(3);
  const std::string constant = "constant";
  select(on_send(c, constant));
  select(on_send(c, "literal"));
  select(on_send(c, std::string("temporary")));
  EXPECT_EQ(constant, "constant");
  EXPECT_EQ(c.recv(), "constant");
  EXPECT_EQ(c.recv(), "literal");
  EXPECT_EQ(c.recv(), "temporary");
}

TEST_F(select_test, otherwise_runs_when_no_case_is_ready_and_never_parks) {
  channel<int> c;
  bool others_ran = false;
  fiber<> other = spawn([&] { others_ran = true; });
  bool ran = false;
  EXPECT_EQ(select(on_recv(c), on_send(c, 1), otherwise([&] { ran = true; })), 2u);
  EXPECT_TRUE(ran);
  EXPECT_FALSE(others_ran);
  other.join();
  EXPECT_EQ(select(otherwise()), 0u);
}

TEST_F(select_test, otherwise_does_not_run_when_a_case_is_ready) {
  channel<int> c(1);
  c.send(1);
  EXPECT_EQ(select(otherwise([] { ADD_FAILURE(); }), on_recv(c)), 1u);
}

TEST_F(select_test, more_than_one_otherwise_is_an_error) {
  EXPECT_THROW(select(otherwise(), otherwise()), std::invalid_argument);
}

TEST_F(select_test, after_ends_the_wait_and_of_several_the_earliest_does) {
  channel<int> c;
  const stopwatch watch;
  EXPECT_EQ(select(after(1h), on_recv(c), after(20ms), after(10s)), 2u);
  expect_took(watch, 20ms);
  EXPECT_FALSE(c.try_send(1)) << "nobody waits any more";
}

TEST_F(select_test, after_takes_a_point_in_time_for_a_limit_on_a_loop) {
  channel<int> c;
  fiber<> sender = spawn([&] {
    for (;;) {
      c.send(1);
      sleep(1ms);
    }
  });
  const auto end = std::chrono::steady_clock::now() + 30ms;
  const stopwatch watch;
  while (select(on_recv(c), after(end)) == 0) {
  }
  expect_took(watch, 30ms);
  sender.kill();
}

TEST_F(select_test, a_deadline_that_has_passed_counts_only_when_nothing_is_ready) {
  channel<int> c(1);
  c.send(1);
  EXPECT_EQ(select(after(0ms), on_recv(c)), 1u);
  EXPECT_EQ(select(after(0ms), on_recv(c)), 0u);
  EXPECT_EQ(select(after(-5ms)), 0u);
  const auto past = std::chrono::steady_clock::now() - 1s;
  EXPECT_EQ(select(otherwise(), after(past)), 1u);
  EXPECT_EQ(select(otherwise(), after(1h)), 0u);
}

TEST_F(select_test, receiving_from_a_closed_channel_is_ready_and_brings_nothing) {
  channel<int> c(1);
  c.send(1);
  c.close();
  std::vector<std::optional<int>> got;
  for (int i = 0; i < 3; ++i) {
    select(on_recv(c, [&](std::optional<int> item) { got.push_back(item); }));
  }
  EXPECT_EQ(got, (std::vector<std::optional<int>>{1, std::nullopt, std::nullopt}));
}

TEST_F(select_test, sending_on_a_closed_channel_throws_out_of_the_select) {
  channel<int> c;
  c.close();
  EXPECT_THROW(select(on_send(c, 1, [] { ADD_FAILURE(); }), after(10s)), channel_closed);
}

TEST_F(select_test, a_close_wakes_selects_that_receive_and_fails_those_that_send) {
  channel<int> incoming;
  channel<int> outgoing;
  channel<int> other;
  fiber<> receiver = spawn([&] {
    EXPECT_EQ(select(on_recv(other), on_recv(incoming, [](auto item) { EXPECT_FALSE(item); })), 1u);
  });
  fiber<> sender = spawn([&] {
    int item = 1;
    EXPECT_THROW(select(on_recv(other), on_send(outgoing, item)), channel_closed);
    EXPECT_EQ(item, 1);
  });
  yield();
  incoming.close();
  EXPECT_TRUE(receiver.join_for(10s));
  EXPECT_FALSE(sender.ready());
  outgoing.close();
  EXPECT_TRUE(sender.join_for(10s));
  EXPECT_FALSE(other.try_send(1));
}

TEST_F(select_test, a_null_channel_is_never_ready) {
  channel<int>* none = nullptr;
  queue<int>* no_queue = nullptr;
  EXPECT_EQ(
      select(on_recv(none), on_send(none, 1), on_get(no_queue), on_put(no_queue, 1), otherwise()),
      4u);
  const stopwatch watch;
  EXPECT_EQ(select(on_recv(none), after(10ms)), 1u);
  expect_took(watch, 10ms);
}

TEST_F(select_test, without_a_case_that_can_become_ready_it_waits_until_it_is_killed) {
  channel<int>* none = nullptr;
  std::vector<fiber<>> fibers{spawn([&] { select(on_recv(none)); }), spawn([] { select(); })};
  yield();
  yield();
  for (auto& f : fibers) {
    EXPECT_FALSE(f.ready());
    f.kill();
  }
}

TEST_F(select_test, a_case_without_a_function_only_happens) {
  channel<int> c(1);
  EXPECT_EQ(select(on_send(c, 3)), 0u);
  EXPECT_EQ(select(on_recv(c)), 0u);
  EXPECT_EQ(c.size(), 0u);
}

TEST_F(select_test, what_the_function_throws_comes_out_and_the_case_has_happened) {
  channel<int> c(1);
  c.send(1);
  EXPECT_THROW(select(on_recv(c, [](auto) { throw std::runtime_error("no"); })),
               std::runtime_error);
  EXPECT_EQ(c.size(), 0u);
}

TEST_F(select_test, the_function_may_wait_and_select_again) {
  channel<int> c(1);
  channel<int> inner(1);
  c.send(1);
  bool is_done = false;
  select(on_recv(c, [&](auto) {
    sleep(1ms);
    select(on_send(inner, 2), on_recv(c));
    is_done = true;
  }));
  EXPECT_TRUE(is_done);
  EXPECT_EQ(inner.recv(), 2);
}

TEST_F(select_test, of_several_ready_cases_each_is_as_likely_as_the_others) {
  // Ready are places 1, 2 and 5 of 6: a search from a random place on would prefer some.
  channel<int> ready(1);
  channel<int> never;
  constexpr int rounds = 30'000;
  std::array<int, 6> counts{};
  for (int i = 0; i < rounds; ++i) {
    ready.try_send(1);
    ++counts[select(on_recv(never), on_recv(ready), on_recv(ready), on_recv(never), on_recv(never),
                    on_recv(ready))];
  }
  // Six standard deviations around a third
  for (const std::size_t place : {1, 2, 5}) EXPECT_NEAR(counts[place], rounds / 3, 490);
  EXPECT_EQ(counts[0] + counts[3] + counts[4], 0);
}

TEST_F(select_test, never_meets_itself) {
  channel<int> c;
  EXPECT_EQ(select(on_send(c, 1), on_recv(c), after(5ms)), 2u);
  EXPECT_EQ(select(on_recv(c), on_send(c, 1), otherwise()), 2u);
}

TEST_F(select_test, with_both_directions_on_one_channel_meets_others_in_either) {
  channel<int> c;
  int got = 0;
  auto either = [&] {
    return select(on_send(c, 1), on_recv(c, [&](std::optional<int> item) { got = *item; }));
  };
  fiber<std::size_t> first = spawn(either);
  yield();
  EXPECT_EQ(c.recv(), 1);
  EXPECT_EQ(first.get(), 0u);
  fiber<std::size_t> second = spawn(either);
  yield();
  c.send(8);
  EXPECT_EQ(second.get(), 1u);
  EXPECT_EQ(got, 8);
  EXPECT_FALSE(c.try_send(1));
  EXPECT_FALSE(c.try_recv());
}

TEST_F(select_test, a_channel_in_several_cases_gives_its_item_to_one_of_them) {
  channel<int> c;
  int runs = 0;
  auto count = [&](std::optional<int> item) { runs += *item; };
  fiber<std::size_t> waiter =
      spawn([&] { return select(on_recv(c, count), on_recv(c, count), on_recv(c, count)); });
  yield();
  c.send(1);
  EXPECT_LT(waiter.get(), 3u);
  EXPECT_EQ(runs, 1);
  EXPECT_FALSE(c.try_send(1));
}

TEST_F(select_test, two_that_face_each_other_meet) {
  channel<int> there;
  channel<int> back;
  int got = 0;
  fiber<std::size_t> one = spawn([&] {
    return select(on_send(there, 1), on_recv(back, [&](std::optional<int> n) { got = *n; }));
  });
  fiber<std::size_t> other = spawn([&] {
    return select(on_send(back, 2), on_recv(there, [&](std::optional<int> n) { got = *n; }));
  });
  const std::size_t sent_or_received = one.get();
  EXPECT_EQ(other.get(), 1 - sent_or_received);
  EXPECT_EQ(got, sent_or_received == 0 ? 1 : 2);
  EXPECT_FALSE(there.try_recv());
  EXPECT_FALSE(back.try_recv());
}

TEST_F(select_test, a_taken_select_is_passed_over_in_its_other_channels) {
  channel<int> first;
  channel<int> second;
  fiber<std::size_t> chooser = spawn([&] { return select(on_recv(first), on_recv(second)); });
  yield();
  fiber<std::optional<int>> next = spawn([&] { return second.recv(); });
  yield();
  first.send(1);                     // takes the select, which has not run since
  EXPECT_TRUE(second.try_send(2));   // goes past it to the fiber behind
  EXPECT_FALSE(first.try_send(3));   // and here nobody is left
  EXPECT_FALSE(second.try_send(3));  // nor here
  EXPECT_EQ(chooser.get(), 0u);
  EXPECT_EQ(next.get(), 2);
}

TEST_F(select_test, waiters_behind_one_keep_their_order) {
  channel<int> c;
  channel<int> other;
  std::vector<int> order;
  std::vector<fiber<>> fibers;
  for (int i = 0; i < 6; ++i) {
    fibers.push_back(spawn([&, i] {
      auto note = [&, i](std::optional<int>) { order.push_back(i); };
      i % 2 ? void(select(on_recv(other), on_recv(c, note))) : note(c.recv());
    }));
  }
  yield();
  for (int i = 0; i < 6; ++i) c.send(i);
  joinall(fibers);
  EXPECT_EQ(order, (std::vector{0, 1, 2, 3, 4, 5}));
}

TEST_F(select_test, one_that_timed_out_leaves_nothing_behind) {
  channel<int> c;
  EXPECT_EQ(select(on_recv(c), after(1ms)), 1u);
  EXPECT_FALSE(c.try_send(1));
  EXPECT_EQ(select(on_send(c, 1), after(1ms)), 1u);
  EXPECT_FALSE(c.try_recv());
}

TEST_F(select_test, one_that_was_killed_leaves_nothing_behind_and_throws_fiber_exit) {
  channel<int> c;
  auto item = std::make_shared<int>(1);
  channel<std::shared_ptr<int>> out;
  bool is_unwound = false;
  fiber<> waiter = spawn([&] {
    try {
      select(on_recv(c), on_send(out, item), after(1h));
    } catch (const fiber_exit&) {
      is_unwound = true;
      throw;
    }
  });
  yield();
  waiter.kill();
  EXPECT_TRUE(is_unwound);
  EXPECT_TRUE(item);
  EXPECT_FALSE(c.try_send(1));
  EXPECT_FALSE(out.try_recv());
}

TEST_F(select_test, a_kill_after_it_was_taken_loses_nothing) {
  channel<int> c;
  int got = 0;
  fiber<> waiter =
      spawn([&] { select(on_recv(c, [&](std::optional<int> item) { got = *item; })); });
  yield();
  c.send(1);
  waiter.kill(false);
  waiter.join();
  EXPECT_EQ(got, 1);
}

TEST_F(select_test, a_thread_that_never_used_coir_may_select) {
  channel<int> c;
  channel<int> quit;
  std::thread thread([&] {
    EXPECT_EQ(select(on_recv(quit), otherwise()), 1u);
    int sum = 0;
    while (select(on_recv(c, [&](std::optional<int> n) { sum += n.value_or(0); }), on_recv(quit)) ==
           0) {
    }
    EXPECT_EQ(sum, 10);
  });
  for (int i = 0; i < 10; ++i) c.send(1);
  quit.close();
  thread.join();
}

}  // namespace
}  // namespace coir::test
