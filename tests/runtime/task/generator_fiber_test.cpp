// Generators among fibers, contexts and exceptions: the body is a part of the fiber that asks.
#include "tests/runtime/support.hpp"

#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

namespace coir::test {
namespace {

using generator_fiber_test = runtime_test;

TEST_F(generator_fiber_test, a_generator_that_another_fiber_runs_cannot_be_run) {
  event go;
  generator<int> g([&](auto& yield) {
    go.wait();
    yield(1);
  });
  fiber<std::optional<int>> f = spawn([&] { return g.next(); });
  yield();
  EXPECT_THROW(g.next(), std::logic_error);
  go.set();
  EXPECT_EQ(f.get(), 1);
}

TEST_F(generator_fiber_test, a_yield_outside_of_its_body_is_a_logic_error) {
  yielder<int>* stolen = nullptr;
  generator<int> g([&](auto& yield) {
    stolen = &yield;
    fiber<> other = spawn([&] { EXPECT_THROW(yield(7), std::logic_error); });
    other.join();
    generator<int> inner([&](auto&) { EXPECT_THROW(yield(8), std::logic_error); });
    inner.next();
    yield(1);
  });
  EXPECT_EQ(g.next(), 1);
  EXPECT_THROW((*stolen)(2), std::logic_error);
  EXPECT_EQ(g.next(), std::nullopt);
}

TEST_F(generator_fiber_test, generators_of_several_fibers_take_turns) {
  auto sum = [](int first) {
    generator<int> g([first](auto& yield) {
      for (int n = first; n < first + 10; ++n) {
        coir::yield();
        yield(n);
      }
    });
    int total = 0;
    for (int n : g) {
      coir::yield();
      total += n;
    }
    return total;
  };
  std::vector<fiber<int>> fibers;
  for (int i = 0; i < 10; ++i) fibers.push_back(spawn(sum, 10 * i));
  for (int i = 0; i < 10; ++i) EXPECT_EQ(fibers[i].get(), 100 * i + 45);
}

TEST_F(generator_fiber_test, the_body_is_a_part_of_the_fiber_that_asks) {
  fiber_local<int> mine;
  mutex m;
  generator<std::uint64_t> g([&](auto& yield) {
    for (;;) {
      ++*mine;
      EXPECT_THROW(m.lock(), std::system_error);  // its own fiber holds it
      yield(this_fiber::id());
    }
  });
  auto ask = [&] {
    const std::lock_guard guard(m);
    EXPECT_EQ(g.next(), this_fiber::id());
    EXPECT_EQ(*mine, 1);
  };
  spawn(ask).get();
  spawn(ask).get();
  ask();
}

TEST_F(generator_fiber_test, a_kill_of_the_fiber_reaches_a_wait_in_the_body) {
  bool is_unwound = false;
  bool went_on = false;
  fiber<> f = spawn([&] {
    generator<int> g([&](auto& yield) {
      yield(1);
      try {
        sleep(1h);
      } catch (const fiber_exit&) {
        is_unwound = true;
        throw;
      }
    });
    for (int n : g) EXPECT_EQ(n, 1);
    went_on = true;
  });
  yield();
  const stopwatch watch;
  f.kill();
  expect_prompt(watch);
  EXPECT_TRUE(is_unwound);
  EXPECT_FALSE(went_on);
}

TEST_F(generator_fiber_test, a_kill_during_a_close_is_not_lost) {
  bool went_on = false;
  bool is_destroyed = false;
  auto body = [](auto& yield) {
    try {
      yield(1);
    } catch (const fiber_exit&) {
      sleep(1h);
    }
  };
  fiber<> closing = spawn([&] {
    generator<int> g(body);
    g.next();
    g.close();
    went_on = true;
  });
  fiber<> destroying = spawn([&] {
    {
      generator<int> g(body);
      g.next();
    }
    is_destroyed = true;
    yield();
    went_on = true;
  });
  yield();
  closing.kill();
  destroying.kill();
  EXPECT_TRUE(is_destroyed);
  EXPECT_FALSE(went_on);
}

TEST_F(generator_fiber_test, exceptions_being_handled_on_both_sides_stay_apart) {
  std::string seen;
  generator<int> g([&](auto& yield) {
    try {
      throw std::runtime_error("inside");
    } catch (...) {
      yield(1);
      try {
        throw;
      } catch (const std::runtime_error& e) {
        seen += e.what();
      }
    }
  });
  try {
    throw std::runtime_error("outside ");
  } catch (...) {
    g.next();
    try {
      throw;
    } catch (const std::runtime_error& e) {
      seen += e.what();
    }
  }
  g.next();
  EXPECT_EQ(seen, "outside inside");
}

TEST_F(generator_fiber_test, it_may_be_closed_while_the_stack_unwinds) {
  int uncaught = -1;
  try {
    generator<int> g([&](auto& yield) {
      try {
        yield(1);
      } catch (const fiber_exit&) {
        uncaught = std::uncaught_exceptions();
        throw;
      }
    });
    g.next();
    throw std::runtime_error("leaves the scope");
  } catch (const std::runtime_error&) {
  }
  EXPECT_EQ(uncaught, 0);
}

TEST_F(generator_fiber_test, errno_passes_through_as_in_a_call) {
  generator<int> g([](auto& yield) {
    EXPECT_EQ(errno, EPIPE);
    errno = EBADF;
    yield(1);
  });
  errno = EPIPE;
  g.next();
  EXPECT_EQ(errno, EBADF);
}

TEST_F(generator_fiber_test, a_generator_may_switch_contexts_and_a_context_run_generators) {
  context<int> c([](int n) {
    generator<int> inner([n](auto& yield) {
      yield(context<int>::switch_to_parent(n + 1));
      yield(100);
    });
    const int first = *inner.next();
    return first + *inner.next();
  });
  generator<int> g([&](auto& yield) {
    yield(c.switch_to(1));
    yield(c.switch_to(20));
  });
  EXPECT_EQ(g.next(), 2);
  EXPECT_EQ(g.next(), 120);
  EXPECT_TRUE(c.is_dead());
}

}  // namespace
}  // namespace coir::test
