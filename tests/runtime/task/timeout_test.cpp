#include "tests/runtime/support.hpp"

#include <atomic>
#include <memory>
#include <stdexcept>
#include <thread>

namespace coir::test {
namespace {

using timeout_test = runtime_test;

TEST_F(timeout_test, it_throws_in_the_fiber_that_made_it_at_its_wait) {
  const stopwatch watch;
  timeout_scope limit(20ms);
  try {
    sleep(1h);
    FAIL() << "the sleep came to its end";
  } catch (const timeout& e) {
    EXPECT_TRUE(limit.owns(e));
    EXPECT_STREQ(e.what(), "timed out");
  }
  expect_took(watch, 20ms);
}

TEST_F(timeout_test, others_are_not_disturbed_by_it) {
  bool came_through = false;
  fiber<> other = spawn([&] {
    sleep(40ms);
    came_through = true;
  });
  EXPECT_FALSE(move_on_after(10ms, [] { sleep(1h); }));
  other.join();
  EXPECT_TRUE(came_through);
}

TEST_F(timeout_test, it_throws_once_and_the_handler_may_wait) {
  timeout_scope limit(5ms);
  EXPECT_THROW(sleep(1h), timeout);
  const stopwatch watch;
  sleep(20ms);
  expect_took(watch, 20ms);
}

TEST_F(timeout_test, after_firing_it_is_not_pending_and_can_be_started_again) {
  timeout_scope limit(5ms);
  EXPECT_TRUE(limit.pending());
  EXPECT_FALSE(limit.expired());
  EXPECT_THROW(sleep(1h), timeout);
  EXPECT_FALSE(limit.pending());
  EXPECT_TRUE(limit.expired());
  limit.restart(5ms);
  EXPECT_TRUE(limit.pending());
  EXPECT_FALSE(limit.expired());
  EXPECT_THROW(sleep(1h), timeout);
}

TEST_F(timeout_test, one_that_is_restarted_in_a_loop_fires_in_each_round) {
  timeout_scope limit(1h);
  int fired = 0;
  for (int round = 0; round < 10; ++round) {
    limit.restart(1ms);
    try {
      sleep(1h);
    } catch (const timeout& e) {
      fired += limit.owns(e);
    }
    EXPECT_FALSE(limit.pending());
    EXPECT_TRUE(limit.expired());
  }
  EXPECT_EQ(fired, 10);
}

TEST_F(timeout_test, one_that_is_restarted_in_time_never_fires) {
  timeout_scope limit(500ms);
  for (int round = 0; round < 100; ++round) {
    limit.restart(500ms);
    sleep(8ms);
  }
  EXPECT_TRUE(limit.pending());
  EXPECT_FALSE(limit.expired());
}

TEST_F(timeout_test, one_that_was_cancelled_can_be_restarted) {
  timeout_scope limit(1ms);
  limit.cancel();
  sleep(3ms);
  const stopwatch watch;
  limit.restart(5ms);
  EXPECT_THROW(sleep(1h), timeout);
  expect_took(watch, 5ms);
}

TEST_F(timeout_test, a_silent_one_ends_its_code_without_a_throw) {
  bool went_on = false;
  EXPECT_FALSE(move_on_after(5ms, [&] {
    sleep(1h);
    went_on = true;
  }));
  EXPECT_FALSE(went_on);
  EXPECT_TRUE(move_on_after(1h, [] { sleep(1ms); }));
}

TEST_F(timeout_test, a_custom_exception_is_thrown_in_its_place) {
  timeout_scope limit(5ms, std::make_exception_ptr(std::out_of_range("too slow")));
  try {
    sleep(1h);
    FAIL();
  } catch (const std::out_of_range& e) {
    EXPECT_STREQ(e.what(), "too slow");
  }
}

TEST_F(timeout_test, a_custom_exception_is_thrown_as_the_very_object) {
  const auto error = std::make_exception_ptr(std::out_of_range("too slow"));
  timeout_scope limit(5ms, error);
  try {
    sleep(1h);
    FAIL();
  } catch (const std::out_of_range&) {
    EXPECT_EQ(std::current_exception(), error);
  }
}

TEST_F(timeout_test, a_custom_exception_dies_with_its_scope_and_its_last_handler) {
  auto token = std::make_shared<int>(0);
  struct error {
    std::shared_ptr<int> token;
  };
  {
    timeout_scope limit(1h, std::make_exception_ptr(error{token}));
    EXPECT_GT(token.use_count(), 1);
  }
  EXPECT_EQ(token.use_count(), 1);
  try {
    timeout_scope limit(1ms, std::make_exception_ptr(error{token}));
    sleep(1h);
  } catch (const error&) {
  }
  EXPECT_EQ(token.use_count(), 1);
}

TEST_F(timeout_test, cancel_disarms_it_and_the_scope_may_run_longer) {
  timeout_scope limit(10ms);
  limit.cancel();
  EXPECT_FALSE(limit.pending());
  sleep(30ms);
  EXPECT_FALSE(limit.expired());
}

TEST_F(timeout_test, the_end_of_the_scope_disarms_it) {
  { timeout_scope limit(5ms); }
  sleep(20ms);
}

TEST_F(timeout_test, one_that_fired_but_met_no_wait_is_dropped_at_the_end_of_its_scope) {
  {
    timeout_scope limit(0ms);
    const auto end = std::chrono::steady_clock::now() + 2ms;
    while (std::chrono::steady_clock::now() < end) {
    }
    EXPECT_TRUE(limit.pending()) << "nobody has run the loop meanwhile";
  }
  sleep(5ms);
}

TEST_F(timeout_test, when_the_outer_fires_first_the_inner_does_not_swallow_it) {
  timeout_scope outer(5ms);
  bool inner_was_pending = false;
  try {
    timeout_scope inner(1h);
    try {
      sleep(1h);
      FAIL();
    } catch (const timeout& e) {
      EXPECT_FALSE(inner.owns(e));
      EXPECT_TRUE(outer.owns(e));
      inner_was_pending = inner.pending();
      throw;
    }
  } catch (const timeout& e) {
    EXPECT_TRUE(outer.owns(e));
  }
  EXPECT_TRUE(inner_was_pending);
}

TEST_F(timeout_test, a_silent_inner_one_lets_the_outer_pass) {
  timeout_scope outer(5ms);
  try {
    move_on_after(1h, [] { sleep(1h); });
    FAIL();
  } catch (const timeout& e) {
    EXPECT_TRUE(outer.owns(e));
  }
}

TEST_F(timeout_test, an_inner_one_that_fires_leaves_the_outer_on) {
  const stopwatch watch;
  timeout_scope outer(40ms);
  EXPECT_FALSE(move_on_after(5ms, [] { sleep(1h); }));
  EXPECT_TRUE(outer.pending());
  EXPECT_THROW(sleep(1h), timeout);
  expect_took(watch, 40ms);
}

TEST_F(timeout_test, both_fire_before_the_next_wait_and_come_in_their_order) {
  timeout_scope outer(1ms);
  timeout_scope inner(2ms);
  const this_fiber::no_kill guard;  // does not hold deadlines back
  fiber<> busy = spawn([] {
    const auto end = std::chrono::steady_clock::now() + 5ms;
    while (std::chrono::steady_clock::now() < end) {
    }
  });
  try {
    sleep(1h);
    FAIL();
  } catch (const timeout& e) {
    EXPECT_TRUE(outer.owns(e));
  }
  try {
    sleep(1h);
    FAIL();
  } catch (const timeout& e) {
    EXPECT_TRUE(inner.owns(e));
  }
  busy.join();
}

TEST_F(timeout_test, a_later_scope_at_the_same_place_is_another_one) {
  std::exception_ptr first;
  for (int round = 0; round < 2; ++round) {
    timeout_scope limit(1ms);
    try {
      sleep(1h);
    } catch (const timeout& e) {
      EXPECT_TRUE(limit.owns(e));
      if (!first) first = std::current_exception();
    }
    if (round == 0) continue;
    try {
      std::rethrow_exception(first);
    } catch (const timeout& e) {
      EXPECT_FALSE(limit.owns(e));
    }
  }
}

TEST_F(timeout_test, with_timeout_returns_the_result_when_the_function_ends_first) {
  EXPECT_EQ(with_timeout(1h, [] { return 7; }), 7);
  EXPECT_EQ(with_timeout(
                1h, [] { return std::string("done"); }, "late"),
            "done");
  auto moved = with_timeout(1h, [] { return std::make_unique<int>(3); });
  EXPECT_EQ(*moved, 3);
}

TEST_F(timeout_test, with_timeout_throws_or_returns_the_value_in_its_place) {
  auto slow = [] {
    sleep(1h);
    return std::string("done");
  };
  EXPECT_THROW(with_timeout(5ms, slow), timeout);
  EXPECT_EQ(with_timeout(5ms, slow, "late"), "late");
}

TEST_F(timeout_test, with_timeout_passes_other_exceptions_and_other_timeouts_through) {
  EXPECT_THROW(with_timeout(
                   1h, []() -> int { throw std::range_error("no"); }, 1),
               std::range_error);
  timeout_scope outer(5ms);
  EXPECT_THROW(with_timeout(
                   1h,
                   [] {
                     sleep(1h);
                     return 0;
                   },
                   1),
               timeout);
  fiber<> endless = spawn([] { sleep(1h); });
  EXPECT_THROW(move_on_after(1h, [&] { endless.get_for(1ms); }), timeout) << "of a single wait";
  endless.kill();
}

TEST_F(timeout_test, a_time_of_zero_fires_with_the_next_turn_before_a_later_event) {
  event later;
  fiber<> setter = spawn_after(20ms, [&] { later.set(); });
  const stopwatch watch;
  EXPECT_FALSE(move_on_after(0ms, [&] { later.wait(); }));
  expect_prompt(watch);
  EXPECT_FALSE(later.is_set());
  EXPECT_FALSE(move_on_after(-5ms, [&] { later.wait(); }));
  setter.join();
}

TEST_F(timeout_test, a_loop_of_yields_is_ended_by_an_enclosing_time_out) {
  const stopwatch watch;
  EXPECT_FALSE(move_on_after(10ms, [] {
    for (;;) yield();
  }));
  expect_took(watch, 10ms);
}

TEST_F(timeout_test, an_endless_limit_never_fires) {
  timeout_scope limit(std::chrono::hours::max());
  EXPECT_FALSE(limit.pending());
  sleep(2ms);
}

TEST_F(timeout_test, check_throws_in_a_computation_that_never_waits) {
  timeout_scope limit(5ms);
  EXPECT_NO_THROW(limit.check());
  const stopwatch watch;
  EXPECT_THROW(
      {
        while (watch.elapsed() < 10s) limit.check();
      },
      timeout);
  EXPECT_TRUE(limit.expired());
  EXPECT_NO_THROW(limit.check()) << "once is enough";
}

TEST_F(timeout_test, a_limit_until_a_point_of_time) {
  const stopwatch watch;
  timeout_scope limit(std::chrono::steady_clock::now() + 10ms);
  EXPECT_THROW(sleep(1h), timeout);
  expect_took(watch, 10ms);
}

TEST_F(timeout_test, every_fiber_has_limits_of_its_own) {
  int ended = 0;
  std::vector<fiber<>> fibers;
  for (int i = 0; i < 100; ++i) {
    fibers.push_back(spawn([&ended, i] {
      const auto length = milliseconds(1 + i % 10);
      EXPECT_FALSE(move_on_after(length, [] { sleep(1h); }));
      ++ended;
    }));
  }
  joinall(fibers);
  EXPECT_EQ(ended, 100);
}

TEST_F(timeout_test, it_works_on_a_plain_thread) {
  std::atomic<bool> is_owned{false};
  std::thread other([&] {
    timeout_scope limit(5ms);
    try {
      sleep(1h);
    } catch (const timeout& e) {
      is_owned = limit.owns(e);
    }
  });
  other.join();
  EXPECT_TRUE(is_owned);
}

TEST_F(timeout_test, a_kill_passes_through_a_limit) {
  bool timed_out = false;
  fiber<> f = spawn([&] { timed_out = !move_on_after(1h, [] { sleep(1h); }); });
  yield();
  f.kill();
  EXPECT_TRUE(f.successful());
  EXPECT_FALSE(timed_out);
}

TEST_F(timeout_test, one_out_of_a_fiber_is_its_error) {
  const stderr_capture quiet;
  fiber<> f = spawn([] {
    timeout_scope limit(2ms);
    sleep(1h);
  });
  f.join();
  EXPECT_FALSE(f.successful());
  EXPECT_THROW(f.get(), timeout);
}

}  // namespace
}  // namespace coir::test
