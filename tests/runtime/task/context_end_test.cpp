// Raw contexts whose owner goes: while they wait in a switch, in the scheduler, run, or belong to
// another thread.
#include "tests/runtime/support.hpp"

#include <atomic>
#include <memory>
#include <optional>
#include <stdexcept>
#include <thread>

namespace coir::test {
namespace {

using context_end_test = runtime_test;

/// Counts how often it was destroyed.
struct guard {
  std::atomic<int>& count;
  ~guard() { ++count; }
};

TEST_F(context_end_test, the_destructor_ends_a_suspended_body) {
  auto token = std::make_shared<int>(0);
  std::atomic<int> unwound{0};
  {
    context<int> c([&, token](int n) {
      guard g{unwound};
      for (;;) n = context<int>::switch_to_parent(n);
      return n;
    });
    c.switch_to(1);
    EXPECT_EQ(unwound, 0);
  }
  EXPECT_EQ(unwound, 1);
  EXPECT_EQ(token.use_count(), 1);
}

TEST_F(context_end_test, the_destructor_of_a_fresh_one_runs_nothing) {
  bool has_run = false;
  {
    context<> c([&] { has_run = true; });
  }
  EXPECT_FALSE(has_run);
}

TEST_F(context_end_test, what_a_destroyed_body_returns_is_dropped) {
  context<int> other([](int n) {
    std::optional<context<int>> inner;
    inner.emplace([](int m) {
      try {
        context<int>::switch_to_parent(m);
      } catch (const fiber_exit&) {
      }
      return 99;
    });
    EXPECT_EQ(inner->switch_to(n), n);
    inner.reset();
    return n + 1;
  });
  EXPECT_EQ(other.switch_to(1), 2);
}

TEST_F(context_end_test, what_a_destroyed_body_throws_is_reported) {
  stderr_capture captured;
  {
    context<int> c([](int n) -> int {
      try {
        return context<int>::switch_to_parent(n);
      } catch (const fiber_exit&) {
        throw std::runtime_error("in the cleanup");
      }
    });
    c.switch_to(1);
  }
  EXPECT_EQ(count_of(captured.text(), "in the cleanup"), 1) << captured.text();
}

TEST_F(context_end_test, a_body_may_use_other_contexts_while_it_unwinds) {
  std::string log;
  {
    context<int> helper([](int n) {
      for (;;) n = context<int>::switch_to_parent(n + 1);
      return n;
    });
    context<int> c([&](int n) {
      struct cleanup {
        context<int>& helper;
        std::string& log;
        ~cleanup() {
          // Its parent is the plain fiber, which waits for the end of this one.
          helper.set_parent(any_context::current());
          log += std::to_string(helper.switch_to(1)) + std::to_string(helper.switch_to(2));
          sleep(1ms);
        }
      } at_exit{helper, log};
      return context<int>::switch_to_parent(n);
    });
    c.switch_to(1);
  }
  EXPECT_EQ(log, "23");
}

TEST_F(context_end_test, a_body_that_switches_on_is_ended_again) {
  int caught = 0;
  {
    context<int> c([&](int n) {
      while (caught < 3) {
        try {
          n = context<int>::switch_to_parent(n);
        } catch (const fiber_exit&) {
          ++caught;
        }
      }
      return n;
    });
    c.switch_to(1);
  }
  EXPECT_EQ(caught, 3);
}

TEST_F(context_end_test, one_that_waits_in_the_scheduler_is_killed_and_waited_for) {
  std::atomic<int> unwound{0};
  std::optional<context<int>> c;
  c.emplace([&](int n) {
    guard g{unwound};
    try {
      sleep(1h);
    } catch (const fiber_exit&) {
      sleep(2ms);  // cleaning up takes time
      throw;
    }
    return n;
  });
  fiber<int> driver = spawn([&] { return c->switch_to(7); });
  yield();
  c.reset();
  EXPECT_EQ(unwound, 1);
  // The fiber that waits for it goes on, with the value of an end by fiber_exit.
  EXPECT_EQ(driver.get(), 0);
}

TEST_F(context_end_test, one_that_is_killed_in_the_scheduler_may_come_to_a_switch) {
  int caught = 0;
  std::optional<context<int>> c;
  c.emplace([&](int n) {
    try {
      sleep(1h);
    } catch (const fiber_exit&) {
      ++caught;
    }
    try {
      n = context<int>::switch_to_parent(5);
    } catch (const fiber_exit&) {
      ++caught;
    }
    return n;
  });
  fiber<int> driver = spawn([&] { return c->switch_to(7); });
  yield();
  c.reset();
  EXPECT_EQ(caught, 2);
  EXPECT_EQ(driver.get(), 5);
}

TEST_F(context_end_test, the_kill_of_a_fiber_ends_the_context_that_it_waits_for_and_owns) {
  std::atomic<int> unwound{0};
  fiber<> driver = spawn([&] {
    context<> c([&] {
      guard g{unwound};
      sleep(1h);
    });
    c.switch_to();
  });
  yield();
  const stopwatch watch;
  driver.kill();
  expect_prompt(watch);
  EXPECT_EQ(unwound, 1);
}

TEST_F(context_end_test, one_that_is_destroyed_while_it_runs_ends_at_its_next_switch) {
  stderr_capture captured;
  std::atomic<int> unwound{0};
  bool went_on = false;
  std::optional<context<int>> c;
  c.emplace([&](int n) {
    guard g{unwound};
    c.reset();
    sleep(1ms);
    went_on = true;
    return context<int>::switch_to_parent(n);
  });
  context_ref<int> name = *c;
  EXPECT_EQ(name.switch_to(7), 0);
  EXPECT_TRUE(went_on);
  EXPECT_EQ(unwound, 1);
  EXPECT_TRUE(name.is_dead());
  EXPECT_EQ(count_of(captured.text(), "destroyed while it runs"), 1);
}

TEST_F(context_end_test, a_context_may_destroy_the_one_that_has_switched_to_it) {
  std::atomic<int> unwound{0};
  std::optional<context<int>> outer;
  context<int> inner([&](int n) {
    outer.reset();
    return n;
  });
  outer.emplace([&](int n) {
    guard g{unwound};
    return inner.switch_to(n);
  });
  EXPECT_EQ(outer->switch_to(3), 3);
  EXPECT_EQ(unwound, 1);
}

TEST_F(context_end_test, a_context_may_destroy_the_one_that_owns_it) {
  stderr_capture captured;
  std::atomic<int> unwound{0};
  std::optional<context<int>> outer;
  outer.emplace([&](int n) {
    guard g{unwound};
    context<int> inner([&](int m) {
      outer.reset();  // which destroys this one, too
      return m;
    });
    return inner.switch_to(n);
  });
  EXPECT_EQ(outer->switch_to(3), 3);
  EXPECT_EQ(unwound, 1);
  EXPECT_EQ(count_of(captured.text(), "destroyed while it runs"), 1) << captured.text();
}

TEST_F(context_end_test, a_context_may_destroy_the_one_that_owns_it_and_waits_in_the_scheduler) {
  stderr_capture captured;
  std::atomic<int> unwound{0};
  event go;
  std::optional<context<int>> outer;
  outer.emplace([&](int n) {
    guard g{unwound};
    std::optional<context<int>> inner;
    inner.emplace([&](int m) {
      go.wait();
      outer.reset();
      return m;
    });
    fiber<> driver = spawn([&] { inner->switch_to(n); });
    driver.join();
    return n;
  });
  fiber<int> driver = spawn([&] { return outer->switch_to(3); });
  yield();
  yield();
  go.set();
  EXPECT_EQ(driver.get(), 0);
  EXPECT_EQ(unwound, 1);
  EXPECT_EQ(count_of(captured.text(), "destroyed while it runs"), 1) << captured.text();
}

TEST_F(context_end_test, one_that_is_destroyed_on_another_thread_is_ended_by_its_own) {
  stderr_capture captured;
  std::atomic<int> unwound{0};
  std::thread::id where;
  auto c = std::make_unique<context<int>>([&](int n) {
    struct note {
      std::thread::id& where;
      ~note() { where = std::this_thread::get_id(); }
    } at_end{where};
    guard g{unwound};
    return context<int>::switch_to_parent(n);
  });
  c->switch_to(1);
  std::thread([&] { c.reset(); }).join();
  EXPECT_TRUE(eventually([&] { return unwound == 1; }));
  EXPECT_EQ(where, std::this_thread::get_id());
  EXPECT_EQ(count_of(captured.text(), "destroyed on another thread"), 1);
}

TEST_F(context_end_test, a_fresh_one_may_change_its_thread) {
  context<int> c([](int n) { return n + 1; });
  std::thread([&, moved = std::move(c)]() mutable { EXPECT_EQ(moved.switch_to(1), 2); }).join();
}

TEST_F(context_end_test, the_end_of_its_thread_ends_a_suspended_one) {
  std::atomic<int> unwound{0};
  std::unique_ptr<context<int>> c;
  const stopwatch watch;
  std::thread([&] {
    c = std::make_unique<context<int>>([&](int n) {
      guard g{unwound};
      return context<int>::switch_to_parent(n);
    });
    c->switch_to(1);
  }).join();
  EXPECT_LT(watch.elapsed_ms(), 1500ms);  // nobody is waited for
  EXPECT_EQ(unwound, 1);
  EXPECT_TRUE(c->is_dead());
}

TEST_F(context_end_test, a_context_of_a_thread_may_own_others_when_that_ends) {
  std::atomic<int> unwound{0};
  std::unique_ptr<context<int>> c;
  std::thread([&] {
    c = std::make_unique<context<int>>([&](int n) {
      context<int> inner([&](int m) {
        guard g{unwound};
        return context<int>::switch_to_parent(m);
      });
      inner.switch_to(n);
      guard g{unwound};
      return context<int>::switch_to_parent(n);
    });
    c->switch_to(1);
  }).join();
  EXPECT_EQ(unwound, 2);
}

using context_end_process_test = fresh_process_test;

TEST_F(context_end_process_test, a_body_that_never_ends_is_abandoned) {
  const without_leak_check off;
  EXPECT_EXIT(
      {
        int caught = 0;
        {
          context<int> c([&](int n) {
            for (;;) {
              try {
                n = context<int>::switch_to_parent(n);
              } catch (const fiber_exit&) {
                ++caught;
              }
            }
            return n;
          });
          c.switch_to(1);
        }
        _exit(caught == 100 ? 0 : 1);
      },
      testing::ExitedWithCode(0), contains("it is abandoned"));
}

}  // namespace
}  // namespace coir::test
