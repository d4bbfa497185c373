// Waiting for fibers: join, join_for, joinall.
#include "tests/runtime/support.hpp"

#include <stdexcept>

namespace coir::test {
namespace {

using join_test = runtime_test;

TEST_F(join_test, join_of_a_fiber_that_has_ended_returns_at_once) {
  fiber<> f = spawn([] {});
  f.join();
  const stopwatch watch;
  for (int i = 0; i < 100; ++i) f.join();
  EXPECT_TRUE(f.join_for(0ms));
  expect_prompt(watch);
}

TEST_F(join_test, join_for_says_whether_the_fiber_has_ended) {
  fiber<> f = spawn([] { sleep(100ms); });
  const stopwatch watch;
  EXPECT_FALSE(f.join_for(20ms));
  expect_took(watch, 20ms);
  EXPECT_TRUE(f.join_for(10s));
  expect_took(watch, 100ms);
}

TEST_F(join_test, join_until_ends_at_its_time) {
  fiber<> f = spawn([] { sleep(60ms); });
  const stopwatch watch;
  EXPECT_FALSE(f.join_until(std::chrono::steady_clock::now() + 20ms));
  expect_took(watch, 20ms);
  EXPECT_TRUE(f.join_until(std::chrono::steady_clock::time_point::max()));
}

TEST_F(join_test, join_for_no_time_only_looks) {
  fiber<> f = spawn([] {});
  EXPECT_FALSE(f.join_for(0ms));
  EXPECT_FALSE(f.join_for(-1s));
  f.join();
}

TEST_F(join_test, several_fibers_may_join_one_and_wake_in_order) {
  std::vector<int> order;
  fiber<> target = spawn([] { sleep(10ms); });
  std::vector<fiber<>> joiners;
  for (int i = 0; i < 10; ++i) {
    joiners.push_back(spawn([&, i] {
      target.join();
      order.push_back(i);
    }));
  }
  joinall(joiners);
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
}

TEST_F(join_test, a_joiner_that_timed_out_leaves_nothing_behind) {
  fiber<> target = spawn([] { sleep(50ms); });
  for (int i = 0; i < 10; ++i) EXPECT_FALSE(target.join_for(1ms));
  target.join();
  const stopwatch watch;
  sleep(20ms);
  expect_took(watch, 20ms);
}

TEST_F(join_test, a_fiber_that_joins_itself_gets_a_logic_error) {
  fiber<> f;
  f = spawn([&] { EXPECT_THROW(f.join(), std::logic_error); });
  f.join();
  EXPECT_TRUE(f.successful());
}

TEST_F(join_test, joinall_waits_for_every_fiber) {
  std::vector<fiber<>> fibers;
  for (int i = 1; i <= 5; ++i) fibers.push_back(spawn([i] { sleep(i * 10ms); }));
  const stopwatch watch;
  EXPECT_EQ(joinall(fibers), 5u);
  expect_took(watch, 50ms);
  for (auto& f : fibers) EXPECT_TRUE(f.ready());
}

TEST_F(join_test, joinall_of_nothing_returns_at_once) {
  const stopwatch watch;
  EXPECT_EQ(joinall(std::vector<fiber<>>{}), 0u);
  EXPECT_EQ(joinall(std::vector<fiber<>>{}, 10s), 0u);
  expect_prompt(watch);
}

TEST_F(join_test, joinall_counts_those_done_when_its_time_is_up_and_the_others_run_on) {
  int ended = 0;
  std::vector<fiber<>> fibers;
  for (const milliseconds length : {400ms, 1ms, 401ms, 2ms}) {
    fibers.push_back(spawn([&ended, length] {
      sleep(length);
      ++ended;
    }));
  }
  const stopwatch watch;
  EXPECT_EQ(joinall(fibers, 100ms), 2u);
  expect_took(watch, 100ms);
  EXPECT_EQ(ended, 2);
  EXPECT_EQ(joinall(fibers, 10s), 4u);
  EXPECT_EQ(ended, 4);
}

TEST_F(join_test, joinall_is_silent_about_failures) {
  stderr_capture quiet;
  std::vector<fiber<>> fibers{spawn([] { throw std::runtime_error("first"); }),
                              spawn([] { yield(); }),
                              spawn([] { throw std::runtime_error("third"); })};
  EXPECT_EQ(joinall(fibers), 3u);
  EXPECT_THROW(fibers[0].get(), std::runtime_error);
  EXPECT_NO_THROW(fibers[1].get());
  EXPECT_THROW(fibers[2].get(), std::runtime_error);
}

TEST_F(join_test, joinall_throws_as_soon_as_one_has_failed_when_asked_to) {
  const stderr_capture quiet;
  std::vector<fiber<>> fibers;
  fibers.push_back(spawn([] { sleep(1h); }));
  fibers.push_back(spawn([] { throw std::range_error("first"); }));
  const stopwatch watch;
  EXPECT_THROW(joinall(fibers, {.raise_error = true}), std::range_error);
  expect_prompt(watch);
  EXPECT_FALSE(fibers[0].ready());
  fibers[0].kill();
}

TEST_F(join_test, joinall_returns_once_a_number_have_ended_also_when_the_end_was_a_failure) {
  const stderr_capture quiet;
  std::vector<fiber<>> fibers;
  fibers.push_back(spawn([] { sleep(1h); }));
  fibers.push_back(spawn([] { throw std::range_error("one"); }));
  fibers.push_back(spawn([] {}));
  fibers.push_back(spawn([] { sleep(1h); }));
  EXPECT_EQ(joinall(fibers, {.count = 2}), 2U);
  EXPECT_EQ(joinall(fibers, {.timeout = 5ms}), 2U);
  fibers[0].kill();
  fibers[3].kill();
  EXPECT_EQ(joinall(fibers, {.count = 100}), 4U);
}

TEST_F(join_test, a_killed_joiner_leaves_the_joined_fiber_alone) {
  fiber<> target = spawn([] { sleep(50ms); });
  fiber<> joiner = spawn([&] { target.join(); });
  yield();
  joiner.kill();
  EXPECT_TRUE(joiner.ready());
  EXPECT_FALSE(target.ready());
  target.join();
}

}  // namespace
}  // namespace coir::test
