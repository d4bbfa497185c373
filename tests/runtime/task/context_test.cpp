// Raw contexts that pass values to and fro.
#include "tests/runtime/support.hpp"

#include <memory>
#include <optional>
#include <stdexcept>
#include <thread>

namespace coir::test {
namespace {

using context_test = runtime_test;

TEST_F(context_test, a_new_context_runs_nothing) {
  bool has_run = false;
  context<int> c([&](int n) {
    has_run = true;
    return n;
  });
  EXPECT_FALSE(has_run);
  EXPECT_FALSE(c.is_dead());
}

TEST_F(context_test, the_first_switch_passes_the_argument_and_the_end_brings_the_result) {
  context<std::string> c([](std::string word) { return word + " heard"; });
  EXPECT_EQ(c.switch_to("hello"), "hello heard");
  EXPECT_TRUE(c.is_dead());
}

TEST_F(context_test, two_contexts_switch_values_and_the_end_goes_to_the_first_switcher) {
  std::string log;
  auto note = [&log](char who, int n) { (log += who) += std::to_string(n); };
  context<int>* second_address = nullptr;
  context<int> first([&](int n) {
    note('a', n);
    n = second_address->switch_to(n + 1);
    note('c', n);
    n = second_address->switch_to(n + 1);
    note('e', n);
    return n + 1;
  });
  context<int> second([&](int n) {
    note('b', n);
    n = first.switch_to(n + 1);
    note('d', n);
    return first.switch_to(n + 1);
  });
  second_address = &second;
  EXPECT_EQ(first.switch_to(1), 6);
  EXPECT_EQ(log, "a1b2c3d4e5");
  EXPECT_TRUE(first.is_dead());
  EXPECT_FALSE(second.is_dead());
}

TEST_F(context_test, an_exception_of_the_body_comes_out_in_the_parent) {
  context<int> c([](int) -> int { throw std::out_of_range("body"); });
  EXPECT_THROW(c.switch_to(1), std::out_of_range);
  EXPECT_TRUE(c.is_dead());
}

TEST_F(context_test, a_context_may_run_another) {
  std::string log;
  context<int> inner([&](int n) {
    log += "inner ";
    return n + 1;
  });
  context<int> outer([&](int n) {
    const int result = inner.switch_to(n);
    log += "outer ";
    return result + 1;
  });
  EXPECT_EQ(outer.switch_to(1), 3);
  EXPECT_EQ(log, "inner outer ");
}

TEST_F(context_test, a_switch_to_a_dead_context_is_a_logic_error) {
  context<int> c([](int n) { return n; });
  c.switch_to(1);
  EXPECT_THROW(c.switch_to(2), std::logic_error);
}

TEST_F(context_test, a_switch_to_itself_is_a_logic_error) {
  context<int>* self = nullptr;
  context<int> c([&](int n) {
    EXPECT_THROW(self->switch_to(n), std::logic_error);
    return n;
  });
  self = &c;
  EXPECT_EQ(c.switch_to(1), 1);
}

/// A producer that counts up, left suspended in a switch to a consumer that has ended.
struct half_done {
  explicit half_done(int rounds)
      : producer([this](int n) {
          for (;;) n = consumer.switch_to(n + 1);
          return n;
        }),
        consumer([this, rounds](int n) {
          for (int i = 0; i < rounds; ++i) n = producer.switch_to(n);
          return n;
        }) {}

  context<int> producer;
  context<int> consumer;
};

TEST_F(context_test, a_suspended_context_belongs_to_its_thread) {
  half_done pair(3);
  EXPECT_EQ(pair.consumer.switch_to(0), 3);
  ASSERT_FALSE(pair.producer.is_dead());
  std::thread([&] { EXPECT_THROW(pair.producer.switch_to(1), std::logic_error); }).join();
}

TEST_F(context_test, the_destructor_ends_a_suspended_body) {
  auto token = std::make_shared<int>(0);
  bool is_unwound = false;
  {
    context<int>* consumer_address = nullptr;
    context<int> producer([&, token](int n) {
      struct on_exit {
        bool& flag;
        ~on_exit() { flag = true; }
      } guard{is_unwound};
      for (;;) n = consumer_address->switch_to(n);
      return n;
    });
    context<int> consumer([&](int n) { return producer.switch_to(n); });
    consumer_address = &consumer;
    consumer.switch_to(1);
    EXPECT_FALSE(producer.is_dead());
    EXPECT_FALSE(is_unwound);
  }
  EXPECT_TRUE(is_unwound);
  EXPECT_EQ(token.use_count(), 1);
}

TEST_F(context_test, a_context_may_wait_like_any_fiber) {
  bool other_has_run = false;
  fiber<> other = spawn([&] { other_has_run = true; });
  context<int> c([&](int n) {
    sleep(10ms);
    return n + 1;
  });
  const stopwatch watch;
  EXPECT_EQ(c.switch_to(1), 2);
  expect_took(watch, 10ms);
  EXPECT_TRUE(other_has_run);
}

TEST_F(context_test, values_that_only_move_pass_through) {
  context<std::unique_ptr<int>> c([](std::unique_ptr<int> p) {
    ++*p;
    return p;
  });
  EXPECT_EQ(*c.switch_to(std::make_unique<int>(1)), 2);
}

TEST_F(context_test, fibers_can_drive_contexts_of_their_own) {
  auto drive = [](int start) {
    context<int> c([](int n) {
      yield();
      return n * 2;
    });
    return c.switch_to(start);
  };
  std::vector<fiber<int>> fibers;
  for (int i = 0; i < 10; ++i) fibers.push_back(spawn(drive, i));
  for (int i = 0; i < 10; ++i) EXPECT_EQ(fibers[i].get(), 2 * i);
}

TEST_F(context_test, many_switches_keep_every_value) {
  const int rounds = scaled(100'000);
  half_done pair(rounds);
  EXPECT_EQ(pair.consumer.switch_to(0), rounds);
}

}  // namespace
}  // namespace coir::test
