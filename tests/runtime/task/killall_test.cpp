// killall: kills many, then waits for them.
#include "tests/runtime/support.hpp"

#include <atomic>
#include <list>
#include <stdexcept>
#include <thread>

namespace coir::test {
namespace {

using killall_test = runtime_test;

/// A fiber that ends only when `may_end` is set, however often it is killed.
fiber<> stubborn(event& may_end) {
  return spawn([&may_end] {
    const this_fiber::no_kill guard;
    may_end.wait();
  });
}

TEST_F(killall_test, all_are_dead_when_it_returns) {
  std::vector<fiber<>> fibers;
  for (int i = 0; i < 10; ++i) fibers.push_back(spawn([] { sleep(1h); }));
  yield();
  killall(fibers);
  for (const fiber<>& f : fibers) {
    EXPECT_TRUE(f.ready());
    EXPECT_TRUE(f.successful());
  }
}

TEST_F(killall_test, fibers_that_have_not_begun_die_without_running) {
  int runs = 0;
  std::vector<fiber<>> fibers;
  for (int i = 0; i < 5; ++i) fibers.push_back(spawn([&] { ++runs; }));
  fibers.push_back(spawn_after(1ms, [&] { ++runs; }));
  killall(fibers);
  sleep(5ms);
  EXPECT_EQ(runs, 0);
}

TEST_F(killall_test, it_kills_all_before_it_waits_for_any) {
  event first_may_end;
  bool second_is_unwound = false;
  const fiber<> first = stubborn(first_may_end);
  const fiber<> second = spawn([&] {
    try {
      sleep(1h);
    } catch (const fiber_exit&) {
      second_is_unwound = true;
      first_may_end.set();
      throw;
    }
  });
  yield();
  killall(std::vector{first, second});
  EXPECT_TRUE(second_is_unwound);
  EXPECT_TRUE(first.ready());
}

TEST_F(killall_test, killall_with_a_timeout_throws_when_some_still_live) {
  event may_end;
  bool never_runs = true;
  const fiber<> alive = stubborn(may_end);
  yield();
  const fiber<> unbegun = spawn([&] { never_runs = false; });
  const std::vector fibers{alive, unbegun};
  const stopwatch watch;
  EXPECT_THROW(killall(fibers, 20ms), timeout);
  expect_took(watch, 20ms);
  EXPECT_TRUE(unbegun.ready());
  EXPECT_TRUE(never_runs);
  EXPECT_FALSE(alive.ready());
  may_end.set();
  killall(fibers, 10s);
  EXPECT_TRUE(alive.ready());
}

TEST_F(killall_test, those_not_begun_die_even_when_there_was_no_time_to_wait) {
  int runs = 0;
  std::vector<fiber<>> fibers;
  for (int i = 0; i < 3; ++i) fibers.push_back(spawn([&] { ++runs; }));
  EXPECT_THROW(killall(fibers, 0s), timeout);
  joinall(fibers);
  EXPECT_EQ(runs, 0);
}

TEST_F(killall_test, killall_without_wait_returns_at_once) {
  std::vector<fiber<>> fibers;
  for (int i = 0; i < 3; ++i) fibers.push_back(spawn([] { sleep(1h); }));
  yield();
  killall(fibers, false);
  for (const fiber<>& f : fibers) EXPECT_FALSE(f.ready());
  yield();
  for (const fiber<>& f : fibers) EXPECT_TRUE(f.ready());
}

TEST_F(killall_test, killall_throws_the_error_it_is_given_in_all) {
  const stderr_capture quiet;
  std::vector<fiber<>> fibers;
  for (int i = 0; i < 3; ++i) fibers.push_back(spawn([] { sleep(1h); }));
  yield();
  killall(fibers, std::make_exception_ptr(std::range_error("all")));
  for (fiber<>& f : fibers) EXPECT_THROW(f.get(), std::range_error);
  EXPECT_EQ(count_of(quiet.text(), "all"), 3);
}

TEST_F(killall_test, an_error_and_a_timeout_go_together) {
  const stderr_capture quiet;
  event may_end;
  const std::error_code code = std::make_error_code(std::errc::interrupted);
  const fiber<> alive = stubborn(may_end);
  fiber<> dead = spawn([] { sleep(1h); });
  yield();
  const auto error = std::make_exception_ptr(std::system_error(code));
  EXPECT_THROW(killall(std::vector{alive, dead}, error, 10ms), timeout);
  EXPECT_THROW(dead.get(), std::system_error);
  may_end.set();
  alive.join();
}

TEST_F(killall_test, repeated_kills_before_the_next_turn_deliver_one_exception) {
  int caught = 0;
  std::vector<fiber<>> fibers;
  for (int i = 0; i < 3; ++i) {
    fibers.push_back(spawn([&] {
      try {
        sleep(1h);
      } catch (const fiber_exit&) {
        ++caught;
        throw;
      }
    }));
  }
  yield();
  for (int i = 0; i < 3; ++i) killall(fibers, false);
  killall(fibers);
  EXPECT_EQ(caught, 3);
}

TEST_F(killall_test, killing_ended_fibers_or_none_returns_at_once) {
  const stopwatch watch;
  std::vector<fiber<>> fibers{spawn([] {}), spawn([] {})};
  joinall(fibers);
  killall(fibers);
  killall(fibers, 10s);
  killall(std::vector<fiber<>>());
  killall(std::vector<fiber<>>(), 10s);
  expect_prompt(watch);
}

TEST_F(killall_test, a_fiber_among_them_that_calls_it_dies_after_the_others_were_killed) {
  std::vector<fiber<>> fibers;
  bool went_on = false;
  fibers.push_back(spawn([&] {
    killall(fibers);
    went_on = true;
  }));
  fibers.push_back(spawn([] { sleep(1h); }));
  joinall(fibers);
  EXPECT_FALSE(went_on);
  EXPECT_TRUE(fibers[0].successful());
}

TEST_F(killall_test, fibers_of_several_types_stand_in_one_range) {
  const fiber<int> number = spawn([] {
    sleep(1h);
    return 1;
  });
  const fiber<std::string> text = spawn([] {
    sleep(1h);
    return std::string();
  });
  const std::list<any_fiber> both{number, text};
  killall(both);
  EXPECT_TRUE(number.ready());
  EXPECT_TRUE(text.ready());
  EXPECT_EQ(joinall(both), 2u);
  EXPECT_EQ(both.front(), any_fiber(number));
  EXPECT_NE(both.back(), any_fiber(number));
}

TEST_F(killall_test, fibers_of_another_thread_are_killed_too) {
  std::vector<fiber<>> fibers;
  event are_ready;
  std::thread other([&] {
    for (int i = 0; i < 5; ++i) fibers.push_back(spawn([] { sleep(1h); }));
    yield();
    are_ready.set();
    joinall(fibers);
  });
  are_ready.wait();
  killall(fibers, 10s);
  for (const fiber<>& f : fibers) EXPECT_TRUE(f.ready());
  other.join();
}

TEST_F(killall_test, a_killed_caller_stops_waiting_and_the_kills_stand) {
  event may_end;
  const fiber<> alive = stubborn(may_end);
  const fiber<> other = spawn([] { sleep(1h); });
  yield();
  const fiber<> caller = spawn([&] { killall(std::vector{alive, other}); });
  yield();
  caller.kill();
  EXPECT_TRUE(other.ready());
  EXPECT_FALSE(alive.ready());
  may_end.set();
  alive.join();
}

}  // namespace
}  // namespace coir::test
