// A function whose result goes to a future.
#include "tests/runtime/support.hpp"
#include "tests/runtime/sync/errors.hpp"

#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>

namespace coir::test {
namespace {

using packaged_task_test = runtime_test;

int doubled(int n) { return 2 * n; }
int tripled(int n) noexcept { return 3 * n; }

struct adder {
  int base;
  int operator()(int n) const noexcept { return base + n; }
};

static_assert(!std::is_copy_constructible_v<packaged_task<int()>>);
static_assert(std::is_nothrow_move_constructible_v<packaged_task<int()>>);
static_assert(!std::is_constructible_v<packaged_task<int(std::string)>, adder>);
static_assert(std::is_same_v<decltype(packaged_task(doubled)), packaged_task<int(int)>>);
static_assert(std::is_same_v<decltype(packaged_task(tripled)), packaged_task<int(int)>>);
static_assert(std::is_same_v<decltype(packaged_task(adder{1})), packaged_task<int(int)>>);

template <class Call>
std::error_code future_error_of(Call call) {
  return error_of<std::future_error>(call);
}

TEST_F(packaged_task_test, what_the_function_returns_goes_to_the_future) {
  packaged_task task([](int a, std::unique_ptr<int> b) { return a + *b; });
  future<int> f = task.get_future();
  fiber<> runner = spawn([&] { task(1, std::make_unique<int>(2)); });
  EXPECT_EQ(f.get(), 3);
  runner.join();
}

TEST_F(packaged_task_test, results_may_be_references_or_nothing_and_functions_members) {
  struct box {
    long value = 5;
    long& open() { return value; }
  } b;
  packaged_task<long&(box&)> open(&box::open);
  open(b);
  EXPECT_EQ(&open.get_future().get(), &b.value);
  packaged_task<long(const box&)> look(&box::value);
  look(b);
  EXPECT_EQ(look.get_future().get(), 5);
  packaged_task<void()> dropped([] { return 5; });
  dropped();
  dropped.get_future().get();
  packaged_task<long(short)> converted(doubled);
  converted(4);
  EXPECT_EQ(converted.get_future().get(), 8L);
}

TEST_F(packaged_task_test, what_the_function_throws_goes_to_the_future) {
  packaged_task<int()> task([]() -> int { throw std::runtime_error("no result"); });
  task();
  EXPECT_THROW(task.get_future().get(), std::runtime_error);
}

TEST_F(packaged_task_test, it_runs_once) {
  int runs = 0;
  packaged_task<void()> task([&] { ++runs; });
  task();
  EXPECT_EQ(future_error_of([&] { task(); }), std::future_errc::promise_already_satisfied);
  EXPECT_EQ(runs, 1);
}

TEST_F(packaged_task_test, a_future_is_got_once) {
  packaged_task<int(int)> task(doubled);
  future<int> f = task.get_future();
  EXPECT_EQ(future_error_of([&] { task.get_future(); }),
            std::future_errc::future_already_retrieved);
}

TEST_F(packaged_task_test, an_empty_one_has_no_state) {
  packaged_task<int(int)> task;
  EXPECT_FALSE(task.valid());
  EXPECT_EQ(future_error_of([&] { task(1); }), std::future_errc::no_state);
  EXPECT_EQ(future_error_of([&] { task.get_future(); }), std::future_errc::no_state);
  EXPECT_EQ(future_error_of([&] { task.reset(); }), std::future_errc::no_state);
  packaged_task<int(int)> other(doubled);
  task = std::move(other);
  EXPECT_TRUE(task.valid());
  EXPECT_FALSE(other.valid());
  swap(task, other);
  EXPECT_FALSE(task.valid());
  other(2);
  EXPECT_EQ(other.get_future().get(), 4);
}

TEST_F(packaged_task_test, one_that_ends_without_a_run_is_a_broken_promise) {
  future<int> f;
  {
    packaged_task<int(int)> task(doubled);
    f = task.get_future();
  }
  EXPECT_EQ(future_error_of([&] { f.get(); }), std::future_errc::broken_promise);
}

TEST_F(packaged_task_test, reset_makes_it_as_new_with_the_same_function) {
  int runs = 0;
  packaged_task<int()> task([&] { return ++runs; });
  future<int> abandoned = task.get_future();
  task.reset();
  EXPECT_EQ(future_error_of([&] { abandoned.get(); }), std::future_errc::broken_promise);
  for (int i = 1; i <= 3; ++i) {
    task();
    EXPECT_EQ(task.get_future().get(), i);
    task.reset();
  }
}

TEST_F(packaged_task_test, a_kill_inside_ends_the_fiber_and_breaks_the_promise) {
  packaged_task<void()> task([] { sleep(1h); });
  future<void> f = task.get_future();
  bool went_on = false;
  fiber<> runner = spawn([&] {
    task();
    went_on = true;
  });
  yield();
  runner.kill();
  EXPECT_FALSE(went_on);
  EXPECT_EQ(future_error_of([&] { f.get_for(0s); }), std::future_errc::broken_promise);
}

TEST_F(packaged_task_test, a_thread_that_never_used_coir_can_run_it) {
  packaged_task<int(int)> task(doubled);
  future<int> f = task.get_future();
  std::thread plain(std::move(task), 21);
  EXPECT_EQ(f.get(), 42);
  plain.join();
}

}  // namespace
}  // namespace coir::test
