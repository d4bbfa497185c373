// A point that fibers pass together, again and again.
#include "tests/runtime/support.hpp"

#include <atomic>
#include <optional>
#include <stdexcept>
#include <thread>
#include <type_traits>
#include <utility>

namespace coir::test {
namespace {

using barrier_test = runtime_test;

static_assert(std::is_nothrow_move_constructible_v<barrier<>::arrival_token>);
static_assert(!std::is_copy_constructible_v<barrier<>::arrival_token>);

TEST_F(barrier_test, nobody_begins_a_phase_before_all_have_ended_the_last) {
  constexpr int count = 5;
  constexpr int phases = 20;
  barrier<> b(count);
  int arrived = 0;
  std::vector<fiber<>> fibers;
  for (int f = 0; f < count; ++f) {
    fibers.push_back(spawn([&, f] {
      for (int phase = 0; phase < phases; ++phase) {
        for (int i = 0; i < f; ++i) yield();
        ++arrived;
        b.arrive_and_wait();
        EXPECT_GE(arrived, (phase + 1) * count);
        EXPECT_LT(arrived, (phase + 2) * count);
      }
    }));
  }
  EXPECT_EQ(joinall(fibers, 10s), std::size_t{count});
  EXPECT_EQ(arrived, count * phases);
}

TEST_F(barrier_test, the_last_to_arrive_calls_the_completion_function_before_anyone_goes_on) {
  std::vector<std::string> steps;
  barrier b(3, [&] { steps.push_back("complete by " + this_fiber::name()); });
  std::vector<fiber<>> fibers;
  for (const char* name : {"a", "b", "c"}) {
    fibers.push_back(spawn(attributes{.name = name}, [&, name] {
      steps.push_back(name);
      b.arrive_and_wait();
      steps.push_back(name);
    }));
  }
  joinall(fibers);
  EXPECT_EQ(steps, (std::vector<std::string>{"a", "b", "c", "complete by c", "c", "a", "b"}));
}

TEST_F(barrier_test, a_completion_function_may_park_and_all_wait_for_it) {
  bool is_complete = false;
  barrier b(2, [&] {
    sleep(5ms);
    is_complete = true;
  });
  fiber<> f = spawn([&] {
    b.arrive_and_wait();
    EXPECT_TRUE(is_complete);
  });
  yield();
  b.arrive_and_wait();
  EXPECT_TRUE(is_complete);
  f.join();
}

TEST_F(barrier_test, a_completion_function_that_throws_ends_the_phase_all_the_same) {
  int calls = 0;
  barrier b(2, [&] {
    if (++calls == 1) throw std::runtime_error("the first");
  });
  fiber<> f = spawn([&] {
    b.arrive_and_wait();
    b.arrive_and_wait();
  });
  yield();
  EXPECT_THROW(b.arrive_and_wait(), std::runtime_error);
  b.arrive_and_wait();
  EXPECT_TRUE(f.join_for(10s));
  EXPECT_EQ(calls, 2);
}

TEST_F(barrier_test, one_who_arrives_may_go_on_and_wait_later) {
  barrier<> b(2);
  std::optional token(b.arrive());
  EXPECT_FALSE(b.wait_for(*token, 0ms));
  fiber<> f = spawn([&] { b.arrive_and_wait(); });
  yield();
  EXPECT_TRUE(b.wait_for(*token, 0ms));
  b.wait(std::move(*token));
  f.join();
  token.emplace(b.arrive(2));
  b.wait(std::move(*token));
}

TEST_F(barrier_test, a_timed_wait_says_whether_the_phase_ended_and_can_be_repeated) {
  barrier<> b(2);
  const auto token = b.arrive();
  const stopwatch watch;
  EXPECT_FALSE(b.wait_for(token, 20ms));
  expect_took(watch, 20ms);
  EXPECT_FALSE(b.wait_until(token, std::chrono::steady_clock::now() + 20ms));
  expect_took(watch, 40ms);
  fiber<> f = spawn([&] { (void)b.arrive(); });
  EXPECT_TRUE(b.wait_for(token, 10s));
  EXPECT_TRUE(b.wait_until(token, std::chrono::steady_clock::now() - 1s));
  f.join();
}

TEST_F(barrier_test, one_who_drops_is_not_expected_any_more) {
  int phases = 0;
  barrier b(3, [&] { ++phases; });
  fiber<> leaves = spawn([&] { b.arrive_and_drop(); });
  fiber<> stays = spawn([&] {
    for (int i = 0; i < 3; ++i) b.arrive_and_wait();
  });
  for (int i = 0; i < 3; ++i) b.arrive_and_wait();
  EXPECT_EQ(joinall(std::vector{leaves, stays}, 10s), 2u);
  EXPECT_EQ(phases, 3);
  b.arrive_and_drop();
  b.arrive_and_drop();
  EXPECT_EQ(phases, 4);
  EXPECT_THROW((void)b.arrive(), std::logic_error);
}

TEST_F(barrier_test, arrivals_that_are_not_expected_are_an_error_and_do_not_count) {
  EXPECT_THROW(barrier<>(-1), std::invalid_argument);
  barrier<> b(2);
  EXPECT_THROW((void)b.arrive(3), std::logic_error);
  EXPECT_THROW((void)b.arrive(0), std::invalid_argument);
  EXPECT_THROW((void)b.arrive(-1), std::invalid_argument);
  const auto token = b.arrive(1);
  EXPECT_FALSE(b.wait_for(token, 0ms));
  (void)b.arrive(1);
  EXPECT_TRUE(b.wait_for(token, 0ms));
  EXPECT_EQ(barrier<>::max(), PTRDIFF_MAX);
}

TEST_F(barrier_test, a_waiter_that_is_killed_has_arrived_all_the_same) {
  barrier<> b(3);
  fiber<> killed = spawn([&] {
    b.arrive_and_wait();
    FAIL() << "went on after a kill";
  });
  fiber<> other = spawn([&] { b.arrive_and_wait(); });
  yield();
  killed.kill();
  b.arrive_and_drop();
  EXPECT_TRUE(other.join_for(10s));
}

TEST_F(barrier_test, one_killed_in_the_completion_function_leaves_the_others_free) {
  barrier b(2, [] { sleep(1h); });
  fiber<> waits = spawn([&] { b.arrive_and_wait(); });
  fiber<> completes = spawn([&] { b.arrive_and_wait(); });
  yield();
  EXPECT_FALSE(waits.ready());
  completes.kill();
  EXPECT_TRUE(waits.join_for(10s));
}

TEST_F(barrier_test, fibers_of_several_threads_go_in_step) {
  const int phases = scaled(500);
  constexpr int threads_count = 3;
  constexpr int fibers_count = 3;
  std::atomic<int> arrived{0};
  std::atomic<int> completed{0};
  barrier b(threads_count * fibers_count, [&] {
    if (arrived != threads_count * fibers_count * ++completed) ADD_FAILURE() << "out of step";
  });
  auto work = [&] {
    std::vector<fiber<>> fibers;
    for (int f = 0; f < fibers_count; ++f) {
      fibers.push_back(spawn([&] {
        for (int phase = 0; phase < phases; ++phase) {
          ++arrived;
          b.arrive_and_wait();
        }
      }));
    }
    joinall(fibers);
  };
  std::thread one(work);
  std::thread two(work);
  work();
  one.join();
  two.join();
  EXPECT_EQ(completed, phases);
}

}  // namespace
}  // namespace coir::test
