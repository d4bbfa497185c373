// Generators whose owner goes, whose thread ends, or whose process forks.
#include "tests/runtime/support.hpp"

#include <atomic>
#include <memory>
#include <optional>
#include <stdexcept>
#include <thread>

#include <sys/wait.h>

namespace coir::test {
namespace {

using generator_end_test = runtime_test;

/// Counts how often it was destroyed.
struct guard {
  std::atomic<int>& count;
  ~guard() { ++count; }
};

TEST_F(generator_end_test, the_destructor_closes) {
  std::atomic<int> unwound{0};
  auto token = std::make_shared<int>(0);
  {
    generator<int> g([&unwound, token](auto& yield) {
      guard at_end{unwound};
      for (;;) yield(1);
    });
    g.next();
  }
  EXPECT_EQ(unwound, 1);
  EXPECT_EQ(token.use_count(), 1);
}

TEST_F(generator_end_test, the_destructor_of_a_fresh_or_ended_one_runs_nothing) {
  int runs = 0;
  {
    generator<int> fresh([&](auto&) { ++runs; });
    generator<int> ended([&](auto&) { ++runs; });
    ended.next();
  }
  EXPECT_EQ(runs, 1);
}

TEST_F(generator_end_test, what_a_destroyed_body_throws_is_reported) {
  stderr_capture captured;
  {
    generator<int> g([](auto& yield) {
      try {
        yield(1);
      } catch (const fiber_exit&) {
        throw std::runtime_error("in the cleanup");
      }
    });
    g.next();
  }
  EXPECT_EQ(count_of(captured.text(), "in the cleanup"), 1) << captured.text();
}

TEST_F(generator_end_test, a_destroyed_body_that_yields_on_is_closed_again) {
  int caught = 0;
  {
    generator<int> g([&](auto& yield) {
      while (caught < 3) {
        try {
          yield(1);
        } catch (const fiber_exit&) {
          ++caught;
        }
      }
    });
    g.next();
  }
  EXPECT_EQ(caught, 3);
}

TEST_F(generator_end_test, a_destroyed_body_may_wait_while_it_unwinds) {
  bool is_cleaned_up = false;
  {
    generator<int> g([&](auto& yield) {
      try {
        yield(1);
      } catch (const fiber_exit&) {
        sleep(2ms);
        is_cleaned_up = true;
        throw;
      }
    });
    g.next();
  }
  EXPECT_TRUE(is_cleaned_up);
}

TEST_F(generator_end_test, one_that_is_destroyed_while_it_runs_ends_at_its_next_yield) {
  stderr_capture captured;
  std::atomic<int> unwound{0};
  bool went_on = false;
  std::optional<generator<int>> g;
  g.emplace([&](auto& yield) {
    guard at_end{unwound};
    g.reset();
    sleep(1ms);
    went_on = true;
    yield(1);
  });
  generator<int>& address = *g;
  EXPECT_EQ(address.next(), std::nullopt);
  EXPECT_TRUE(went_on);
  EXPECT_EQ(unwound, 1);
  EXPECT_EQ(count_of(captured.text(), "destroyed while it runs"), 1);
}

TEST_F(generator_end_test, one_belongs_to_its_thread) {
  generator<int> g([](auto& yield) {
    for (int n = 1;; ++n) yield(n);
  });
  EXPECT_EQ(g.next(), 1);
  std::thread([&] {
    EXPECT_THROW(g.next(), std::logic_error);
    EXPECT_THROW(g.close(), std::logic_error);
    EXPECT_FALSE(g.is_done());
  }).join();
  EXPECT_EQ(g.next(), 2);
}

TEST_F(generator_end_test, a_fresh_one_may_change_its_thread) {
  generator<int> g([](auto& yield) { yield(5); });
  std::thread([moved = std::move(g)]() mutable { EXPECT_EQ(moved.next(), 5); }).join();
}

TEST_F(generator_end_test, one_that_is_destroyed_on_another_thread_is_unwound_by_its_own) {
  stderr_capture captured;
  std::atomic<int> unwound{0};
  std::thread::id where;
  auto g = std::make_unique<generator<int>>([&](auto& yield) {
    struct note {
      std::thread::id& where;
      ~note() {
        sleep(1ms);  // it is a fiber like any other now
        where = std::this_thread::get_id();
      }
    };
    guard at_end{unwound};
    note before{where};
    try {
      yield(1);
    } catch (const fiber_exit&) {
      EXPECT_THROW(yield(2), std::logic_error);  // nobody asks any more
      throw;
    }
  });
  g->next();
  std::thread([&] { g.reset(); }).join();
  EXPECT_TRUE(eventually([&] { return unwound == 1; }));
  EXPECT_EQ(where, std::this_thread::get_id());
  EXPECT_EQ(count_of(captured.text(), "destroyed on another thread"), 1);
}

TEST_F(generator_end_test, an_exception_being_handled_at_the_yield_is_there_when_it_is_unwound) {
  stderr_capture captured;
  std::atomic<int> unwound{0};
  auto g = std::make_unique<generator<int>>([&](auto& yield) {
    guard at_end{unwound};
    try {
      throw std::runtime_error("kept");
    } catch (...) {
      try {
        yield(1);
      } catch (const fiber_exit&) {
      }
      try {
        throw;
      } catch (const std::runtime_error& e) {
        EXPECT_STREQ(e.what(), "kept");
      }
    }
  });
  g->next();
  std::thread([&] { g.reset(); }).join();
  EXPECT_TRUE(eventually([&] { return unwound == 1; }));
}

TEST_F(generator_end_test, the_end_of_its_thread_unwinds_a_suspended_one) {
  std::atomic<int> unwound{0};
  std::unique_ptr<generator<int>> g;
  const stopwatch watch;
  std::thread([&] {
    g = std::make_unique<generator<int>>([&](auto& yield) {
      guard outer_end{unwound};
      generator<int> inner([&](auto& inner_yield) {
        guard inner_end{unwound};
        inner_yield(1);
      });
      inner.next();
      yield(1);
    });
    g->next();
  }).join();
  EXPECT_LT(watch.elapsed_ms(), 1500ms);  // nobody is waited for
  EXPECT_EQ(unwound, 2);
  EXPECT_TRUE(g->is_done());
  EXPECT_EQ(g->next(), std::nullopt);
}

TEST_F(generator_end_test, the_end_of_its_thread_unwinds_one_that_a_fiber_owns) {
  std::atomic<int> unwound{0};
  std::thread([&] {
    spawn([&] {
      generator<int> at_yield([&](auto& yield) {
        guard at_end{unwound};
        yield(1);
      });
      generator<int> running([&](auto&) {
        guard at_end{unwound};
        sleep(1h);
      });
      at_yield.next();
      running.next();
    });
    yield();
  }).join();
  EXPECT_EQ(unwound, 2);
}

using generator_process_test = fresh_process_test;

TEST_F(generator_process_test, a_body_that_never_ends_is_abandoned) {
  const without_leak_check off;
  EXPECT_EXIT(
      {
        int caught = 0;
        {
          generator<int> g([&](auto& yield) {
            for (;;) {
              try {
                yield(1);
              } catch (const fiber_exit&) {
                ++caught;
              }
            }
          });
          g.next();
        }
        _exit(caught == 100 ? 0 : 1);
      },
      testing::ExitedWithCode(0), contains("it is abandoned"));
}

TEST_F(generator_process_test, the_child_of_a_fork_goes_on_with_its_generators) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "after a fork the thread sanitizer takes stacks for threads that do not wait";
#endif
  const without_leak_check off;
  EXPECT_EXIT(
      {
        generator<int> g([](auto& yield) {
          for (int n = 1;; ++n) yield(n);
        });
        g.next();
        const pid_t child = ::fork();
        if (child == 0) {
          bool is_right = g.next() == 2 && fiber_count() == 0;
          g.close();
          generator<int> other([](auto& yield) { yield(5); });
          is_right = is_right && other.next() == 5 && other.next() == std::nullopt;
          is_right = is_right && spawn([] { return 1; }).get() == 1 && fiber_count() == 0;
          _exit(is_right ? 0 : 1);
        }
        int status = -1;
        ::waitpid(child, &status, 0);
        _exit(status == 0 && g.next() == 2 ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // which report it themselves
[[gnu::noinline]] int fall(int depth) {
  volatile char frame[256] = {};
  if (depth < 0) return frame[1];
  return fall(depth + 1) + frame[0];
}

TEST_F(generator_process_test, a_stack_overflow_in_the_body_is_reported) {
  EXPECT_DEATH(
      {
        generator<int> g({.stack_bytes = 64 * 1024}, [](auto& yield) { yield(fall(0)); });
        g.next();
      },
      contains_all({"stack overflow", "64 KiB"}));
}
#endif

}  // namespace
}  // namespace coir::test
