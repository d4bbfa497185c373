// Fibers that end with a block of code.
#include "tests/runtime/support.hpp"

#include <atomic>
#include <optional>
#include <stdexcept>
#include <thread>

namespace coir::test {
namespace {

using scope_test = runtime_test;

/// Waits for ever; says what ended the wait.
template <class Error>
void wait_for(bool& was_thrown) {
  try {
    sleep(1h);
  } catch (const Error&) {
    was_thrown = true;
    throw;
  }
}

TEST_F(scope_test, a_scope_bound_fiber_is_joined_at_the_end_of_its_scope) {
  bool has_ended = false;
  {
    scope s;
    s.spawn([&] {
      sleep(10ms);
      has_ended = true;
    });
    EXPECT_FALSE(has_ended);
  }
  EXPECT_TRUE(has_ended);
}

TEST_F(scope_test,
       if_the_scope_ends_by_an_exception_the_fiber_is_killed_and_that_exception_goes_on) {
  bool is_killed = false;
  std::optional<fiber<>> f;
  const auto block = [&] {
    scope s;
    f = s.spawn([&] { wait_for<fiber_exit>(is_killed); });
    yield();
    throw std::range_error("the block's own");
  };
  EXPECT_THROW(block(), std::range_error);
  EXPECT_TRUE(is_killed);
  EXPECT_TRUE(f->ready());
  EXPECT_TRUE(f->successful()) << "a destructor cannot see the exception";
}

TEST_F(scope_test, with_scope_makes_that_exception_the_fibers_own_result) {
  const stderr_capture quiet;
  bool is_killed = false;
  std::optional<fiber<>> f;
  std::exception_ptr thrown;
  try {
    with_scope([&](scope& s) {
      f = s.spawn([&] { wait_for<std::range_error>(is_killed); });
      yield();
      throw std::range_error("the block's own");
    });
  } catch (const std::range_error&) {
    thrown = std::current_exception();
  }
  ASSERT_TRUE(thrown);
  EXPECT_TRUE(is_killed);
  EXPECT_TRUE(f->ready());
  EXPECT_FALSE(f->successful());
  EXPECT_EQ(f->exception(), thrown) << "the very object";
}

TEST_F(scope_test, a_fiber_that_has_not_begun_never_runs_when_the_scope_ends_by_an_exception) {
  const stderr_capture quiet;
  bool has_run = false;
  const auto block = [&](scope& s) {
    s.spawn([&] { has_run = true; });
    throw std::range_error("early");
  };
  EXPECT_THROW(with_scope(block), std::range_error);
  EXPECT_FALSE(has_run);
}

TEST_F(scope_test,
       if_the_fiber_failed_and_nobody_asked_the_scopes_end_does_not_throw_but_get_does) {
  const stderr_capture quiet;
  std::optional<fiber<>> f;
  bool sibling_has_ended = false;
  {
    scope s;
    f = s.spawn([] { throw std::range_error("the fiber's own"); });
    s.spawn([&] {
      sleep(5ms);
      sibling_has_ended = true;
    });
  }
  EXPECT_TRUE(sibling_has_ended) << "the others are not disturbed";
  EXPECT_THROW(f->get(), std::range_error);
  EXPECT_NO_THROW(with_scope([&](scope& s) { s.spawn([] { throw std::range_error("again"); }); }));
}

TEST_F(scope_test, with_scope_returns_what_the_function_returns_after_the_fibers_have_ended) {
  int ended = 0;
  const int value = with_scope([&](scope& s) {
    for (int i = 0; i < 3; ++i) {
      s.spawn([&] {
        sleep(2ms);
        ++ended;
      });
    }
    return 7;
  });
  EXPECT_EQ(value, 7);
  EXPECT_EQ(ended, 3);
}

TEST_F(scope_test, a_kill_of_the_fiber_that_waits_at_the_end_kills_the_fibers_of_the_scope) {
  bool is_killed = false;
  bool went_on = false;
  const fiber<> owner = spawn([&] {
    {
      scope s;
      s.spawn([&] { wait_for<fiber_exit>(is_killed); });
    }
    went_on = true;
  });
  sleep(1ms);
  owner.kill();
  EXPECT_TRUE(is_killed);
  EXPECT_FALSE(went_on);
  EXPECT_TRUE(owner.successful());
}

TEST_F(scope_test, a_deadline_at_the_end_of_a_scope_is_what_its_fibers_are_killed_with) {
  const stderr_capture quiet;
  for (const bool is_object : {true, false}) {
    bool is_killed = false;
    std::optional<fiber<>> f;
    timeout_scope limit(10ms);
    try {
      if (is_object) {
        scope s;
        f = s.spawn([&] { wait_for<timeout>(is_killed); });
      } else {
        with_scope([&](scope& s) { f = s.spawn([&] { wait_for<timeout>(is_killed); }); });
      }
      ADD_FAILURE() << "the scope waits for ever";
    } catch (const timeout& e) {
      EXPECT_TRUE(limit.owns(e));
    }
    EXPECT_TRUE(is_killed);
    EXPECT_THROW(f->get(), timeout);
  }
}

TEST_F(scope_test, a_fiber_that_takes_long_to_die_is_waited_for) {
  bool is_cleaned_up = false;
  const auto block = [&](scope& s) {
    s.spawn([&] {
      try {
        sleep(1h);
      } catch (const std::range_error&) {
        sleep(10ms);
        is_cleaned_up = true;
      }
    });
    yield();
    throw std::range_error("early");
  };
  EXPECT_THROW(with_scope(block), std::range_error);
  EXPECT_TRUE(is_cleaned_up);
}

TEST_F(scope_test, what_is_spawned_into_a_dying_scope_dies_with_it) {
  const stderr_capture quiet;
  std::optional<fiber<>> late;
  const auto block = [&](scope& s) {
    s.spawn([&] {
      try {
        sleep(1h);
      } catch (const std::range_error&) {
        late = s.spawn([] { sleep(1h); });
        throw;
      }
    });
    yield();
    throw std::range_error("early");
  };
  EXPECT_THROW(with_scope(block), std::range_error);
  ASSERT_TRUE(late);
  EXPECT_TRUE(late->ready());
}

TEST_F(scope_test, fibers_may_spawn_into_their_own_scope) {
  std::atomic<int> ran{0};
  {
    scope s;
    s.spawn([&] {
      s.spawn([&] {
        sleep(1ms);
        s.spawn([&] { ++ran; });
        ++ran;
      });
      ++ran;
    });
  }
  EXPECT_EQ(ran, 3);
}

TEST_F(scope_test, scopes_nest) {
  const stderr_capture quiet;
  bool outer_is_killed = false;
  bool inner_is_killed = false;
  const auto block = [&] {
    with_scope([&](scope& outer) {
      outer.spawn([&] { wait_for<std::range_error>(outer_is_killed); });
      with_scope([&](scope& inner) {
        inner.spawn([&] { wait_for<std::range_error>(inner_is_killed); });
        yield();
        throw std::range_error("from the inner block");
      });
    });
  };
  EXPECT_THROW(block(), std::range_error);
  EXPECT_TRUE(outer_is_killed);
  EXPECT_TRUE(inner_is_killed);
}

TEST_F(scope_test, a_scope_made_while_an_exception_is_under_way_joins_its_fibers) {
  int ended = 0;
  struct at_exit {
    int& ended;
    ~at_exit() {
      scope s;
      s.spawn([this] {
        sleep(1ms);
        ++ended;
      });
    }
  };
  EXPECT_THROW(
      {
        const at_exit guard{ended};
        throw std::range_error("under way");
      },
      std::range_error);
  EXPECT_EQ(ended, 1);
}

TEST_F(scope_test, join_and_join_for_wait_without_ending_the_scope) {
  scope s;
  event go;
  s.spawn([&] { go.wait(); });
  EXPECT_FALSE(s.join_for(5ms));
  EXPECT_EQ(s.size(), 1u);
  go.set();
  s.join();
  EXPECT_TRUE(s.join_for(0s));
  s.spawn([] {});
  EXPECT_EQ(s.size(), 1u);
}

TEST_F(scope_test, it_maps_and_applies_like_any_group) {
  scope s;
  EXPECT_EQ(s.map([](int n) { return n * n; }, std::vector{1, 2, 3}), (std::vector{1, 4, 9}));
  EXPECT_EQ(s.apply([] { return 5; }), 5);
}

TEST_F(scope_test, kill_others_ends_the_siblings_and_throws_the_failure_at_the_scopes_end) {
  const stderr_capture quiet;
  bool is_killed = false;
  std::optional<fiber<>> sibling;
  const stopwatch watch;
  EXPECT_THROW(with_scope(on_failure::kill_others,
                          [&](scope& s) {
                            sibling = s.spawn([&] { wait_for<fiber_exit>(is_killed); });
                            s.spawn([] {
                              sleep(1ms);
                              throw std::range_error("first");
                            });
                          }),
               std::range_error);
  expect_prompt(watch);
  EXPECT_TRUE(is_killed);
  EXPECT_TRUE(sibling->successful());
}

TEST_F(scope_test, kill_others_throws_into_the_scopes_own_code) {
  const stderr_capture quiet;
  bool went_on = false;
  queue<int> never_filled;
  EXPECT_THROW(with_scope(on_failure::kill_others,
                          [&](scope& s) {
                            s.spawn([] { throw std::range_error("the producer's"); });
                            never_filled.get();
                            went_on = true;
                          }),
               std::range_error);
  EXPECT_FALSE(went_on);
}

TEST_F(scope_test, kill_others_throws_out_of_the_destructor_too) {
  const stderr_capture quiet;
  const auto block = [] {
    scope s(on_failure::kill_others);
    s.spawn([] { sleep(1h); });
    s.spawn([] { throw std::range_error("first"); });
  };
  EXPECT_THROW(block(), std::range_error);
}

TEST_F(scope_test, kill_others_throws_the_first_failure_once) {
  const stderr_capture quiet;
  const auto block = [] {
    scope s(on_failure::kill_others);
    s.spawn([] { throw std::range_error("first"); });
    s.spawn([] {
      try {
        sleep(1h);
      } catch (const fiber_exit&) {
        throw std::runtime_error("second, while it is killed");
      }
    });
    EXPECT_THROW(s.join(), std::range_error);
    EXPECT_NO_THROW(s.join());
  };
  EXPECT_NO_THROW(block());
}

TEST_F(scope_test, kill_others_leaves_a_scope_without_failures_alone) {
  int ended = 0;
  EXPECT_EQ(with_scope(on_failure::kill_others,
                       [&](scope& s) {
                         for (int i = 0; i < 3; ++i) {
                           s.spawn([&] {
                             sleep(2ms);
                             ++ended;
                           });
                         }
                         const fiber<> killed = s.spawn([] { sleep(1h); });
                         yield();
                         killed.kill();
                         return 1;
                       }),
            1);
  EXPECT_EQ(ended, 3) << "a kill is no failure";
}

TEST_F(scope_test, a_kill_of_the_scope_is_no_failure) {
  const stderr_capture quiet;
  scope s(on_failure::kill_others);
  fiber<> f = s.spawn([] { sleep(1h); });
  yield();
  s.kill(std::make_exception_ptr(std::range_error("on purpose")));
  EXPECT_THROW(f.get(), std::range_error);
  EXPECT_NO_THROW(s.join());
  EXPECT_TRUE(s.empty());
}

TEST_F(scope_test, an_exception_of_the_block_wins_over_failures_that_it_causes) {
  const stderr_capture quiet;
  const auto block = [](scope& s) {
    s.spawn([] {
      try {
        sleep(1h);
      } catch (const std::range_error&) {
        throw std::runtime_error("in the clean-up");
      }
    });
    yield();
    throw std::range_error("the block's own");
  };
  EXPECT_THROW(with_scope(on_failure::kill_others, block), std::range_error);
}

TEST_F(scope_test, a_failure_on_another_thread_reaches_the_scopes_own_code) {
  const stderr_capture quiet;
  for (int round = 0; round < scaled(100); ++round) {
    std::thread other;
    bool is_killed = false;
    EXPECT_THROW(with_scope(on_failure::kill_others,
                            [&](scope& s) {
                              s.spawn([&] { wait_for<fiber_exit>(is_killed); });
                              yield();
                              other = std::thread([&] {
                                s.spawn([] { throw std::range_error("far away"); }).join();
                              });
                              sleep(1h);
                            }),
                 std::range_error);
    EXPECT_TRUE(is_killed);
    other.join();
  }
}

TEST_F(scope_test, a_scope_works_on_a_thread_that_never_used_coir) {
  int ended = 0;
  std::thread([&] {
    scope s;
    s.spawn([&] { ++ended; });
  }).join();
  EXPECT_EQ(ended, 1);
}

}  // namespace
}  // namespace coir::test
