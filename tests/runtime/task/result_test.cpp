// What comes out of a fiber: its value, or the exception that ended it.
#include "tests/runtime/support.hpp"

#include <memory>
#include <stdexcept>

namespace coir::test {
namespace {

using result_test = runtime_test;

struct odd_error : std::runtime_error {
  explicit odd_error(int n) : std::runtime_error("odd"), number(n) {}
  int number;
};

TEST_F(result_test, get_returns_the_value_as_often_as_asked) {
  fiber<std::string> f = spawn([] { return std::string("value"); });
  const std::string& first = f.get();
  const std::string& second = f.get();
  EXPECT_EQ(first, "value");
  EXPECT_EQ(&first, &second);
}

TEST_F(result_test, copies_of_a_handle_share_one_result) {
  fiber<int> f = spawn([] { return 1; });
  fiber<int> copy = f;
  f.get() = 2;
  EXPECT_EQ(copy.get(), 2);
}

TEST_F(result_test, a_value_that_only_moves_comes_out_of_the_last_handle) {
  EXPECT_EQ(*spawn([] { return std::make_unique<int>(5); }).get(), 5);
}

TEST_F(result_test, the_last_of_several_handles_does_not_take_the_value_from_the_others) {
  fiber<std::string> f = spawn([] { return std::string(100, 'x'); });
  fiber<std::string> copy = f;
  EXPECT_EQ(std::move(copy).get(), std::string(100, 'x'));
  EXPECT_EQ(f.get(), std::string(100, 'x'));
}

TEST_F(result_test, get_for_throws_timeout_and_the_fiber_runs_on) {
  fiber<int> f = spawn([] {
    sleep(100ms);
    return 3;
  });
  const stopwatch watch;
  EXPECT_THROW(f.get_for(20ms), timeout);
  expect_took(watch, 20ms);
  EXPECT_FALSE(f.ready());
  EXPECT_EQ(f.get_for(10s), 3);
}

TEST_F(result_test, get_for_no_time_throws_at_once_and_lets_nobody_run) {
  bool has_run = false;
  fiber<int> f = spawn([&] {
    has_run = true;
    return 3;
  });
  EXPECT_THROW(f.get_for(0s), timeout);
  EXPECT_THROW(f.get_for(-1s), timeout);
  EXPECT_FALSE(has_run);
  f.join();
  EXPECT_EQ(f.get_for(0s), 3);
}

TEST_F(result_test, get_rethrows_the_same_object_as_often_as_asked) {
  stderr_capture quiet;
  fiber<int> f = spawn([]() -> int { throw odd_error(41); });
  f.join();
  EXPECT_TRUE(f.ready());
  EXPECT_FALSE(f.successful());
  const odd_error* first = nullptr;
  for (int i = 0; i < 3; ++i) {
    try {
      f.get();
      FAIL() << "get returned";
    } catch (const odd_error& e) {
      EXPECT_EQ(e.number, 41);
      if (!first) first = &e;
      EXPECT_EQ(&e, first);
    }
  }
  EXPECT_THROW(std::rethrow_exception(f.exception()), odd_error);
}

TEST_F(result_test, an_exception_is_reported_once_and_ends_only_its_fiber) {
  stderr_capture capture;
  fiber<> f = spawn(attributes{.name = "thrower"}, [] { throw odd_error(1); });
  fiber<int> other = spawn([] {
    sleep(5ms);
    return 1;
  });
  EXPECT_EQ(other.get(), 1);
  EXPECT_THROW(f.get(), odd_error);
  EXPECT_THROW(f.get(), odd_error);
  const std::string text = capture.text();
  EXPECT_EQ(count_of(text, "odd"), 1 + count_of(text, "odd_error")) << text;
  EXPECT_EQ(count_of(text, "\n"), 1) << text;
  EXPECT_EQ(count_of(text, "thrower"), 1) << text;
}

TEST_F(result_test, what_is_no_std_exception_is_reported_and_kept_too) {
  stderr_capture capture;
  fiber<> f = spawn([] { throw 42; });
  f.join();
  EXPECT_EQ(count_of(capture.text(), "\n"), 1) << capture.text();
  try {
    f.get();
    FAIL() << "get returned";
  } catch (int number) {
    EXPECT_EQ(number, 42);
  }
}

TEST_F(result_test, a_fiber_that_ends_well_reports_nothing) {
  stderr_capture capture;
  spawn([] { return 1; }).join();
  spawn([] { throw fiber_exit(); }).join();
  EXPECT_EQ(capture.text(), "");
}

TEST_F(result_test, an_exit_exception_counts_as_success_without_a_value) {
  fiber<int> f = spawn([]() -> int { throw fiber_exit(); });
  f.join();
  EXPECT_TRUE(f.successful());
  EXPECT_EQ(f.exception(), nullptr);
  EXPECT_THROW(f.get(), fiber_exit);
}

TEST_F(result_test, get_of_a_killed_fiber_without_a_value_returns_normally) {
  fiber<> f = spawn([] { sleep(1h); });
  yield();
  f.kill();
  EXPECT_NO_THROW(f.get());
  EXPECT_NO_THROW(std::move(f).get());
}

TEST_F(result_test, get_of_a_killed_fiber_with_a_value_throws) {
  fiber<int> f = spawn([] {
    sleep(1h);
    return 1;
  });
  yield();
  f.kill();
  EXPECT_THROW(f.get(), fiber_exit);
  EXPECT_THROW(std::move(f).get(), fiber_exit);
}

TEST_F(result_test, an_error_of_a_fiber_that_nobody_asks_does_not_end_the_program) {
  stderr_capture capture;
  spawn([] { throw odd_error(2); });
  sleep(1ms);
  EXPECT_EQ(count_of(capture.text(), "\n"), 1) << capture.text();
}

TEST_F(result_test, the_exception_object_dies_with_the_last_handle) {
  stderr_capture quiet;
  auto token = std::make_shared<int>(0);
  struct holder {
    std::shared_ptr<int> token;
  };
  {
    fiber<> f = spawn([token] { throw holder{token}; });
    f.join();
    EXPECT_EQ(token.use_count(), 2);
  }
  EXPECT_EQ(token.use_count(), 1);
}

TEST_F(result_test, the_value_dies_with_the_last_handle) {
  auto token = std::make_shared<int>(0);
  {
    fiber<std::shared_ptr<int>> f = spawn([&] { return token; });
    f.join();
    EXPECT_EQ(token.use_count(), 2);
  }
  EXPECT_EQ(token.use_count(), 1);
}

}  // namespace
}  // namespace coir::test
