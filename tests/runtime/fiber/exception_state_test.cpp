// The C++ runtime's record of exceptions in flight belongs to a fiber, not to its thread.
#include "tests/runtime/support.hpp"

#include <exception>
#include <stdexcept>

namespace coir::test {
namespace {

using exception_state_test = runtime_test;

struct numbered : std::runtime_error {
  explicit numbered(int n) : std::runtime_error("numbered"), number(n) {}
  int number;
};

TEST_F(exception_state_test, exceptions_yielded_inside_catch_come_back_to_their_owners) {
  auto body = [](int number) {
    try {
      throw numbered(number);
    } catch (const numbered& first) {
      EXPECT_EQ(first.number, number);
      yield();
      try {
        throw;
      } catch (const numbered& again) {
        EXPECT_EQ(again.number, number);
        EXPECT_EQ(&again, &first);
        yield();
      }
      EXPECT_EQ(first.number, number);
    }
    EXPECT_EQ(std::current_exception(), nullptr);
  };
  std::vector<fiber<>> fibers;
  for (int i = 0; i < 10; ++i) fibers.push_back(spawn(body, i));
  joinall(fibers);
  for (auto& f : fibers) EXPECT_TRUE(f.successful());
}

TEST_F(exception_state_test, current_exception_is_the_fibers_own) {
  fiber<> holder = spawn([] {
    try {
      throw numbered(1);
    } catch (...) {
      sleep(2ms);
      ASSERT_NE(std::current_exception(), nullptr);
      EXPECT_THROW(std::rethrow_exception(std::current_exception()), numbered);
    }
  });
  fiber<> other = spawn([] {
    EXPECT_EQ(std::current_exception(), nullptr);
    yield();
    EXPECT_EQ(std::current_exception(), nullptr);
  });
  yield();
  EXPECT_EQ(std::current_exception(), nullptr);
  joinall(std::vector{holder, other});
}

TEST_F(exception_state_test, nested_handlers_survive_switches_in_any_order) {
  auto body = [](int number) {
    try {
      throw numbered(number);
    } catch (const numbered& outer) {
      for (int i = 0; i < number % 4; ++i) yield();
      try {
        throw std::logic_error(std::to_string(number));
      } catch (const std::logic_error& inner) {
        for (int i = 0; i < number % 3 + 1; ++i) yield();
        EXPECT_EQ(std::string(inner.what()), std::to_string(number));
      }
      yield();
      EXPECT_EQ(outer.number, number);
      EXPECT_THROW(throw, numbered);
    }
  };
  std::vector<fiber<>> fibers;
  for (int i = 0; i < 40; ++i) fibers.push_back(spawn(body, i));
  joinall(fibers);
  for (auto& f : fibers) EXPECT_TRUE(f.successful());
}

/// Counts the exceptions in flight where it is destroyed, before and after it lets others run.
struct watcher_of_unwinding {
  explicit watcher_of_unwinding(std::vector<int>& counts) : counts_(counts) {}
  ~watcher_of_unwinding() {
    counts_.push_back(std::uncaught_exceptions());
    yield();
    counts_.push_back(std::uncaught_exceptions());
  }
  std::vector<int>& counts_;
};

TEST_F(exception_state_test, uncaught_exceptions_counts_those_of_its_fiber) {
  std::vector<int> unwinding_counts;
  std::vector<int> quiet_counts;
  fiber<> unwinding = spawn([&] {
    try {
      watcher_of_unwinding guard(unwinding_counts);
      throw numbered(1);
    } catch (const numbered&) {
    }
    EXPECT_EQ(std::uncaught_exceptions(), 0);
  });
  fiber<> quiet = spawn([&] {
    { watcher_of_unwinding guard(quiet_counts); }
    EXPECT_EQ(std::uncaught_exceptions(), 0);
  });
  joinall(std::vector{unwinding, quiet});
  EXPECT_EQ(unwinding_counts, (std::vector<int>{1, 1}));
  EXPECT_EQ(quiet_counts, (std::vector<int>{0, 0}));
  EXPECT_EQ(std::uncaught_exceptions(), 0);
}

TEST_F(exception_state_test, two_fibers_may_unwind_at_the_same_time) {
  std::vector<int> first_counts;
  std::vector<int> second_counts;
  auto body = [](std::vector<int>& counts) {
    try {
      watcher_of_unwinding guard(counts);
      throw numbered(1);
    } catch (const numbered&) {
    }
  };
  joinall(std::vector{spawn(body, std::ref(first_counts)), spawn(body, std::ref(second_counts))});
  EXPECT_EQ(first_counts, (std::vector<int>{1, 1}));
  EXPECT_EQ(second_counts, (std::vector<int>{1, 1}));
}

TEST_F(exception_state_test, the_main_fiber_keeps_its_exception_while_others_throw) {
  try {
    throw numbered(7);
  } catch (const numbered& mine) {
    std::vector<fiber<>> fibers;
    for (int i = 0; i < 5; ++i) {
      fibers.push_back(spawn([] {
        try {
          throw std::logic_error("other");
        } catch (const std::logic_error&) {
          yield();
        }
      }));
    }
    joinall(fibers);
    EXPECT_EQ(mine.number, 7);
    EXPECT_THROW(throw, numbered);
  }
}

TEST_F(exception_state_test, a_fiber_begins_without_an_exception_though_its_spawner_handles_one) {
  try {
    throw numbered(1);
  } catch (const numbered&) {
    fiber<bool> f = spawn(
        [] { return std::current_exception() == nullptr && std::uncaught_exceptions() == 0; });
    EXPECT_TRUE(f.get());
  }
}

TEST_F(exception_state_test, a_reused_stack_does_not_inherit_an_exception) {
  stderr_capture quiet;
  for (int i = 0; i < 100; ++i) {
    spawn([i] {
      try {
        throw numbered(i);
      } catch (const numbered&) {
        throw std::logic_error("second");
      }
    }).join();
    EXPECT_TRUE(spawn([] { return std::current_exception() == nullptr; }).get());
  }
}

TEST_F(exception_state_test, contexts_have_their_own_too) {
  context<int> c([](int n) {
    try {
      throw numbered(n);
    } catch (const numbered& mine) {
      sleep(1ms);
      return mine.number;
    }
  });
  try {
    throw std::logic_error("caller");
  } catch (const std::logic_error& e) {
    EXPECT_EQ(c.switch_to(5), 5);
    EXPECT_STREQ(e.what(), "caller");
    EXPECT_THROW(throw, std::logic_error);
  }
}

}  // namespace
}  // namespace coir::test
