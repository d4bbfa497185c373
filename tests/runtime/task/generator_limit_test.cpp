// Kills and time limits that meet a fiber in a generator's body: they are thrown at the wait there
// and go through next() as through any call.
#include "tests/runtime/support.hpp"

#include <atomic>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>

namespace coir::test {
namespace {

using generator_limit_test = runtime_test;

/// Yields once, and then waits for ever.
generator<int> endless() {
  return generator<int>([](auto& yield) {
    yield(1);
    sleep(1h);
  });
}

TEST_F(generator_limit_test, a_time_limit_around_next_reaches_a_wait_in_the_body) {
  generator<int> g = endless();
  g.next();
  const stopwatch watch;
  timeout_scope limit(20ms);
  try {
    g.next();
    ADD_FAILURE() << "the wait has ended";
  } catch (const timeout& e) {
    EXPECT_TRUE(limit.owns(e));
  }
  expect_took(watch, 20ms);
  EXPECT_TRUE(g.is_done());
  EXPECT_EQ(g.next(), std::nullopt);
}

TEST_F(generator_limit_test, it_reaches_waits_on_locks_queues_and_other_fibers) {
  mutex m;
  queue<int> empty(1);
  fiber<> endless_fiber = spawn([] { sleep(1h); });
  const std::lock_guard guard(m);
  const auto ends_in_time = [](auto wait) {
    return move_on_after(10ms, [&] {
      generator<int> g([&](auto&) { wait(); });
      g.next();
    });
  };
  spawn([&] { EXPECT_FALSE(ends_in_time([&] { m.lock(); })); }).get();
  EXPECT_FALSE(ends_in_time([&] { empty.get(); }));
  EXPECT_FALSE(ends_in_time([&] { endless_fiber.join(); }));
  endless_fiber.kill();
}

TEST_F(generator_limit_test, the_inner_of_two_lets_the_outer_pass) {
  bool has_passed = false;
  generator<int> g([&](auto& yield) {
    timeout_scope inner(1h);
    try {
      sleep(1h);
    } catch (const timeout& e) {
      has_passed = !inner.owns(e);
      throw;
    }
    yield(1);
  });
  timeout_scope outer(10ms);
  try {
    g.next();
    ADD_FAILURE() << "the wait has ended";
  } catch (const timeout& e) {
    EXPECT_TRUE(outer.owns(e));
  }
  EXPECT_TRUE(has_passed);
}

TEST_F(generator_limit_test, a_limit_of_the_body_ends_its_wait_and_it_goes_on) {
  generator<bool> g([](auto& yield) {
    for (;;) yield(move_on_after(5ms, [] { sleep(1h); }));
  });
  timeout_scope outer(1h);
  EXPECT_EQ(g.next(), false);
  EXPECT_EQ(g.next(), false);
  EXPECT_TRUE(outer.pending());
}

TEST_F(generator_limit_test, a_body_may_answer_a_limit_with_a_value) {
  generator<std::string> g([](auto& yield) {
    try {
      sleep(1h);
    } catch (const timeout&) {
      yield("timed out");
    }
    yield("more");
  });
  timeout_scope limit(5ms);
  EXPECT_EQ(g.next(), "timed out");
  EXPECT_EQ(g.next(), "more");
}

TEST_F(generator_limit_test, a_limit_held_over_a_yield_is_that_of_the_fiber_that_began_it) {
  generator<int> g([](auto& yield) {
    timeout_scope limit(10ms);
    yield(1);
    yield(2);
  });
  g.next();
  EXPECT_THROW(sleep(1h), timeout);  // in this fiber, though outside of the body
  EXPECT_EQ(g.next(), 2);
  EXPECT_EQ(g.next(), std::nullopt);
}

TEST_F(generator_limit_test, one_whose_fiber_has_ended_fires_nowhere) {
  generator<int> g([](auto& yield) {
    timeout_scope limit(10ms);
    yield(1);
    yield(2);
  });
  spawn([&] { g.next(); }).get();
  fiber<> in_its_place = spawn([] { sleep(50ms); });
  EXPECT_NO_THROW(in_its_place.get());
  EXPECT_EQ(g.next(), 2);
  EXPECT_EQ(g.next(), std::nullopt);
}

TEST_F(generator_limit_test, one_that_fires_before_another_fiber_takes_the_place_is_dropped) {
  generator<int> g([](auto& yield) {
    timeout_scope limit(5ms);
    yield(1);
  });
  spawn([&] { g.next(); }).get();
  sleep(20ms);
  EXPECT_NO_THROW(spawn([] { sleep(1ms); }).get());
  EXPECT_EQ(g.next(), std::nullopt);
}

TEST_F(generator_limit_test, one_that_is_due_when_its_fiber_ends_is_dropped) {
  generator<int> g([](auto& yield) {
    timeout_scope limit(1ms);
    yield(1);
  });
  spawn([&] {
    g.next();
    offload([] { std::this_thread::sleep_for(10ms); });  // a wait that no time limit ends
  }).get();
  spawn([] { sleep(1ms); }).get();
  EXPECT_EQ(g.next(), std::nullopt);
}

/// Waits for ever when it is closed.
generator<int> slow_to_end() {
  return generator<int>([](auto& yield) {
    try {
      yield(1);
    } catch (const fiber_exit&) {
      sleep(1h);
    }
  });
}

TEST_F(generator_limit_test, a_limit_that_ends_the_end_of_a_destroyed_one_is_not_lost) {
  timeout_scope limit(10ms);
  bool is_destroyed = false;
  try {
    {
      generator<int> g = slow_to_end();
      g.next();
    }
    is_destroyed = true;
    sleep(1h);
    ADD_FAILURE() << "the wait has ended";
  } catch (const timeout& e) {
    EXPECT_TRUE(limit.owns(e));
  }
  EXPECT_TRUE(is_destroyed);
  EXPECT_NO_THROW(sleep(1ms));  // once
}

TEST_F(generator_limit_test, a_limit_that_ends_with_a_destroyed_one_is_dropped_with_its_scope) {
  EXPECT_TRUE(move_on_after(10ms, [] {
    generator<int> g = slow_to_end();
    g.next();
  }));
  EXPECT_NO_THROW(sleep(1ms));
}

TEST_F(generator_limit_test, a_kill_with_an_error_that_meets_a_destroyed_one_is_not_lost) {
  fiber<> f = spawn([] {
    {
      generator<int> g = slow_to_end();
      g.next();
    }
    sleep(1h);
  });
  yield();
  f.kill(std::make_exception_ptr(std::runtime_error("enough")));
  try {
    f.get();
    ADD_FAILURE() << "no error";
  } catch (const std::runtime_error& e) {
    EXPECT_STREQ(e.what(), "enough");
  }
}

TEST_F(generator_limit_test, a_kill_under_way_destroys_those_at_their_yields) {
  bool is_unwound = false;
  bool went_on = false;
  fiber<> f = spawn([&] {
    {
      generator<int> outer([&](auto& yield) {
        generator<int> inner([&](auto& inner_yield) {
          try {
            inner_yield(1);
          } catch (const fiber_exit&) {
            is_unwound = true;
            throw;
          }
        });
        yield(*inner.next());
        sleep(1h);
      });
      outer.next();
      outer.next();
    }
    went_on = true;
  });
  yield();
  f.kill();
  EXPECT_TRUE(is_unwound);
  EXPECT_FALSE(went_on);
}

TEST_F(generator_limit_test, a_no_kill_guard_in_the_body_holds_a_kill_back) {
  bool is_done = false;
  event go;
  fiber<> f = spawn([&] {
    generator<int> g([&](auto& yield) {
      {
        const this_fiber::no_kill guard;
        go.wait();
        is_done = true;
      }
      yield(1);
      sleep(1h);
    });
    for (int n : g) EXPECT_EQ(n, 1);
  });
  yield();
  f.kill(false);
  go.set();
  f.join();
  EXPECT_TRUE(is_done);
}

TEST_F(generator_limit_test, a_kill_from_another_thread_reaches_the_body) {
  event begun;
  std::atomic<bool> is_unwound{false};
  fiber<> f = spawn([&] {
    generator<int> g([&](auto&) {
      try {
        begun.set();
        sleep(1h);
      } catch (const fiber_exit&) {
        is_unwound = true;
        throw;
      }
    });
    g.next();
  });
  begun.wait();
  std::thread other([&] { f.kill(); });
  EXPECT_TRUE(f.join_for(10s));
  EXPECT_TRUE(is_unwound);
  other.join();
}

TEST_F(generator_limit_test,
       a_limit_reaches_a_fiber_that_waits_for_a_context_and_leaves_that_alone) {
  event go;
  context<int> c([&](int n) {
    go.wait();
    return n;
  });
  timeout_scope limit(10ms);
  try {
    c.switch_to(1);
    ADD_FAILURE() << "the switch has returned";
  } catch (const timeout& e) {
    EXPECT_TRUE(limit.owns(e));
  }
  EXPECT_FALSE(c.is_dead());
  go.set();
  EXPECT_TRUE(eventually([&] { return c.is_dead(); }));
}

TEST_F(generator_limit_test, a_limit_in_a_context_is_its_own) {
  context<bool, void> c([] { return move_on_after(10ms, [] { sleep(1h); }); });
  EXPECT_FALSE(c.switch_to());
}

}  // namespace
}  // namespace coir::test
