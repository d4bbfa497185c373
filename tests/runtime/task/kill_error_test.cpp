// Kills with an error of the caller's choice, and those that a guard holds back.
#include "tests/runtime/support.hpp"

#include <stdexcept>
#include <thread>

namespace coir::test {
namespace {

using kill_error_test = runtime_test;

TEST_F(kill_error_test, any_exception_may_be_thrown_into_the_fiber) {
  const stderr_capture quiet;
  fiber<> f = spawn([] { sleep(1h); });
  yield();
  f.kill(std::make_exception_ptr(std::range_error("enough")));
  EXPECT_TRUE(f.ready());
  EXPECT_FALSE(f.successful());
  EXPECT_THROW(f.get(), std::range_error);
  EXPECT_EQ(count_of(quiet.text(), "enough"), 1);
}

TEST_F(kill_error_test, a_fiber_killed_with_an_error_before_it_begins_has_that_error) {
  const stderr_capture quiet;
  bool has_run = false;
  fiber<> f = spawn([&] { has_run = true; });
  f.kill(std::make_exception_ptr(std::range_error("never")));
  EXPECT_FALSE(has_run);
  EXPECT_THROW(f.get(), std::range_error);
}

TEST_F(kill_error_test, the_error_of_a_kill_may_be_caught) {
  int caught = 0;
  fiber<int> f = spawn([&] {
    try {
      sleep(1h);
    } catch (const std::range_error&) {
      ++caught;
    }
    return caught;
  });
  yield();
  f.kill(std::make_exception_ptr(std::range_error("enough")));
  EXPECT_EQ(f.get(), 1);
}

TEST_F(kill_error_test, kill_for_says_whether_the_fiber_has_ended) {
  event may_end;
  fiber<> stubborn = spawn([&] {
    try {
      sleep(1h);
    } catch (const fiber_exit&) {
      may_end.wait();
    }
  });
  yield();
  const stopwatch watch;
  EXPECT_FALSE(stubborn.kill_for(10ms));
  expect_took(watch, 10ms);
  may_end.set();
  EXPECT_TRUE(stubborn.kill_for(10s));
}

TEST_F(kill_error_test, another_thread_may_kill_with_an_error) {
  const stderr_capture quiet;
  fiber<> f = spawn([] { sleep(1h); });
  yield();
  std::thread other([f] { f.kill(std::make_exception_ptr(std::range_error("from afar"))); });
  f.join();
  other.join();
  EXPECT_THROW(f.get(), std::range_error);
}

TEST_F(kill_error_test, a_guard_holds_a_kill_back_until_it_goes) {
  std::vector<int> steps;
  event is_inside;
  fiber<> f = spawn([&] {
    {
      const this_fiber::no_kill outer;
      const this_fiber::no_kill inner;
      is_inside.set();
      sleep(10ms);
      steps.push_back(1);
    }
    steps.push_back(2);
    sleep(1h);
    steps.push_back(3);
  });
  is_inside.wait();
  f.kill();
  EXPECT_EQ(steps, (std::vector{1, 2}));
  EXPECT_TRUE(f.successful());
}

TEST_F(kill_error_test, the_error_of_a_kill_that_a_guard_held_back_is_kept) {
  const stderr_capture quiet;
  event is_inside;
  fiber<> f = spawn([&] {
    {
      const this_fiber::no_kill guard;
      is_inside.set();
      sleep(5ms);
    }
    sleep(1h);
  });
  is_inside.wait();
  f.kill(std::make_exception_ptr(std::range_error("later")), false);
  f.kill();
  EXPECT_THROW(f.get(), std::range_error) << "the first kill counts";
}

TEST_F(kill_error_test, a_fiber_that_kills_itself_under_a_guard_goes_on_to_its_end) {
  bool went_on = false;
  fiber<>* self = nullptr;
  fiber<> f = spawn([&] {
    {
      const this_fiber::no_kill guard;
      self->kill(false);
      went_on = true;
    }
    sleep(1h);
  });
  self = &f;
  f.join();
  EXPECT_TRUE(went_on);
  EXPECT_TRUE(f.successful());
}

TEST_F(kill_error_test, a_kill_held_back_for_the_rest_of_the_function_is_forgotten) {
  event is_inside;
  fiber<int> f = spawn([&] {
    const this_fiber::no_kill guard;
    is_inside.set();
    sleep(5ms);
    return 7;
  });
  is_inside.wait();
  f.kill();
  EXPECT_EQ(f.get(), 7);
  EXPECT_EQ(spawn([] { return 8; }).get(), 8) << "the next fiber on that stack lives";
}

}  // namespace
}  // namespace coir::test
