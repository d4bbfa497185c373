// Spawning: when a fiber begins, in which order, and what it says of itself.
#include "tests/runtime/support.hpp"

#include <atomic>
#include <memory>
#include <set>
#include <string>
#include <thread>

namespace coir::test {
namespace {

using fiber_test = runtime_test;

TEST_F(fiber_test, a_spawned_fiber_runs_nothing_until_the_caller_parks) {
  bool has_run = false;
  fiber<> f = spawn([&] { has_run = true; });
  EXPECT_FALSE(has_run);
  EXPECT_FALSE(f.ready());
  EXPECT_FALSE(f.successful());
  yield();
  EXPECT_TRUE(has_run);
  EXPECT_TRUE(f.ready());
  EXPECT_TRUE(f.successful());
  EXPECT_EQ(f.exception(), nullptr);
}

TEST_F(fiber_test, one_that_has_not_begun_is_neither_ready_nor_successful_and_has_no_result) {
  EXPECT_FALSE(fiber<int>().valid());
  const fiber<int> f = spawn_after(1h, [] { return 1; });
  EXPECT_TRUE(f.valid());
  yield();
  EXPECT_FALSE(f.ready());
  EXPECT_FALSE(f.successful());
  EXPECT_EQ(f.exception(), nullptr);
  EXPECT_THROW(fiber<int>(f).get_for(0s), timeout);
  f.kill();
}

TEST_F(fiber_test, fibers_start_in_the_order_of_their_spawn) {
  std::vector<int> order;
  std::vector<fiber<>> fibers;
  for (int i = 0; i < 1000; ++i) fibers.push_back(spawn([&order, i] { order.push_back(i); }));
  EXPECT_EQ(joinall(fibers), 1000u);
  ASSERT_EQ(order.size(), 1000u);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(order[i], i);
}

TEST_F(fiber_test, two_fibers_that_yield_once_interleave_strictly) {
  std::string order;
  auto body = [&order](std::string name) {
    order += name + "A ";
    yield();
    order += name + "B ";
  };
  std::vector<fiber<>> fibers{spawn(body, "1"), spawn(body, "2")};
  joinall(fibers);
  EXPECT_EQ(order, "1A 2A 1B 2B ");
}

TEST_F(fiber_test, a_fiber_spawned_by_a_fiber_starts_behind_those_that_are_ready) {
  std::string order;
  fiber<> inner;
  fiber<> first = spawn([&] {
    order += 'a';
    inner = spawn([&] { order += 'c'; });
  });
  fiber<> second = spawn([&] { order += 'b'; });
  yield();
  yield();
  EXPECT_EQ(order, "abc");
  EXPECT_TRUE(inner.ready());
}

TEST_F(fiber_test, a_yield_with_nobody_ready_returns_at_once) {
  const stopwatch watch;
  for (int i = 0; i < 1000; ++i) yield();
  expect_prompt(watch);
}

TEST_F(fiber_test, timers_fire_while_a_loop_only_yields) {
  bool is_over = false;
  fiber<> sleeper = spawn([&] {
    sleep(10ms);
    is_over = true;
  });
  const stopwatch watch;
  while (!is_over && watch.elapsed() < 10s) yield();
  EXPECT_TRUE(is_over);
}

TEST_F(fiber_test, timers_and_descriptors_are_served_while_fibers_yield_to_each_other) {
  bool is_over = false;
  auto spin = [&] {
    while (!is_over) yield();
  };
  std::vector<fiber<>> spinning{spawn(spin), spawn(spin), spawn(spin)};
  const stopwatch watch;
  sleep(20ms);
  expect_took(watch, 20ms);
  is_over = true;
  joinall(spinning);
}

TEST_F(fiber_test, arguments_are_moved_into_the_fiber) {
  auto f = spawn([](std::unique_ptr<int> number,
                    const std::string& word) { return word + std::to_string(*number); },
                 std::make_unique<int>(7), "seven is ");
  EXPECT_EQ(f.get(), "seven is 7");
}

TEST_F(fiber_test, a_reference_wrapper_passes_the_object_itself) {
  int number = 1;
  spawn([](int& n) { n = 2; }, std::ref(number)).join();
  EXPECT_EQ(number, 2);
}

TEST_F(fiber_test, a_member_function_can_be_spawned) {
  struct counter {
    int value = 0;
    int add(int n) { return value += n; }
  } object;
  EXPECT_EQ(spawn(&counter::add, &object, 3).get(), 3);
  EXPECT_EQ(object.value, 3);
}

TEST_F(fiber_test, function_and_arguments_are_gone_when_a_joiner_wakes) {
  auto token = std::make_shared<int>(0);
  fiber<> f = spawn([captured = token](std::shared_ptr<int>) { yield(); }, token);
  EXPECT_EQ(token.use_count(), 3);
  f.join();
  EXPECT_EQ(token.use_count(), 1);
}

TEST_F(fiber_test, dropping_the_handle_does_not_end_the_fiber) {
  bool is_over = false;
  spawn([&] {
    sleep(1ms);
    is_over = true;
  });
  EXPECT_TRUE(eventually([&] { return is_over; }));
}

TEST_F(fiber_test, names_are_as_given_and_default_to_fiber) {
  fiber<std::string> named = spawn(attributes{.name = "reader"}, [] { return this_fiber::name(); });
  fiber<std::string> unnamed = spawn([] { return this_fiber::name(); });
  EXPECT_EQ(named.name(), "reader");
  EXPECT_EQ(named.get(), "reader");
  EXPECT_EQ(unnamed.name(), "fiber");
  EXPECT_EQ(unnamed.get(), "fiber");
  EXPECT_EQ(this_fiber::name(), "main");
}

TEST_F(fiber_test, numbers_are_unique_in_the_process) {
  std::set<std::uint64_t> seen{this_fiber::id()};
  for (int i = 0; i < 100; ++i) {
    auto f = spawn([] { return this_fiber::id(); });
    EXPECT_EQ(f.get(), f.id());
    EXPECT_TRUE(seen.insert(f.id()).second);
  }
  std::uint64_t elsewhere = 0;
  std::thread([&] { elsewhere = spawn([] { return this_fiber::id(); }).get(); }).join();
  EXPECT_TRUE(seen.insert(elsewhere).second);
}

TEST_F(fiber_test, the_running_fiber_does_not_report_itself_ready) {
  fiber<> f;
  bool was_ready = true;
  f = spawn([&] { was_ready = f.ready() || f.successful(); });
  f.join();
  EXPECT_FALSE(was_ready);
}

TEST_F(fiber_test, fiber_count_says_how_many_have_not_ended) {
  EXPECT_EQ(fiber_count(), 0u);
  event go;
  std::vector<fiber<>> fibers;
  for (int i = 0; i < 5; ++i) fibers.push_back(spawn([&] { go.wait(); }));
  EXPECT_EQ(fiber_count(), 5u);
  go.set();
  joinall(fibers);
  EXPECT_TRUE(eventually([] { return fiber_count() == 0; }));
}

TEST_F(fiber_test, a_delayed_fiber_begins_after_its_delay) {
  const stopwatch watch;
  fiber<milliseconds> late = spawn_after(50ms, [&] { return watch.elapsed_ms(); });
  fiber<milliseconds> later = spawn_after(100ms, [&] { return watch.elapsed_ms(); });
  EXPECT_GE(late.get(), 47ms);
  EXPECT_GE(later.get(), 95ms);
  expect_took(watch, 100ms);
}

TEST_F(fiber_test, a_delay_of_zero_begins_with_the_next_turn) {
  const stopwatch watch;
  spawn_after(0ms, [] {}).join();
  expect_prompt(watch);
}

TEST_F(fiber_test, a_fiber_gets_the_stack_size_it_asks_for) {
  auto use = [] {
    volatile char space[3 << 20];
    for (std::size_t i = 0; i < sizeof space; i += 4096) space[i] = 1;
    return static_cast<int>(space[0]);
  };
  EXPECT_EQ(spawn(attributes{.name = "deep", .stack_bytes = 4 << 20}, use).get(), 1);
}

TEST_F(fiber_test, a_fiber_may_run_before_spawn_returns) {
  std::vector<int> order;
  fiber<> other = spawn([&] { order.push_back(3); });
  fiber<> first = spawn({.run_first = true}, [&] {
    order.push_back(1);
    yield();
    order.push_back(5);
  });
  order.push_back(4);
  EXPECT_EQ(order, (std::vector{1, 3, 4}));
  joinall(std::vector{first, other});
  EXPECT_EQ(order, (std::vector{1, 3, 4, 5}));
}

TEST_F(fiber_test, sleep_takes_at_least_its_length) {
  for (const milliseconds length : {1ms, 10ms, 200ms}) {
    const stopwatch watch;
    sleep(length);
    EXPECT_GE(watch.elapsed(), length);
    expect_took(watch, length);
  }
}

TEST_F(fiber_test, sleep_of_zero_or_less_only_yields) {
  int turns = 0;
  fiber<> other = spawn([&] { ++turns; });
  const stopwatch watch;
  sleep(0ms);
  sleep(-1h);
  expect_prompt(watch);
  EXPECT_EQ(turns, 1);
}

TEST_F(fiber_test, a_sleep_of_zero_lets_all_who_are_ready_run_once) {
  std::string order;
  std::vector<fiber<>> others;
  for (const char name : {'a', 'b', 'c'}) {
    others.push_back(spawn([&order, name] {
      order += name;
      sleep(0ms);
      order += name;
    }));
  }
  sleep(0ms);
  EXPECT_EQ(order, "abc");
  sleep(0ms);
  EXPECT_EQ(order, "abcabc");
  joinall(others);
}

TEST_F(fiber_test, sleep_until_a_time_that_has_passed_returns) {
  const stopwatch watch;
  this_fiber::sleep_until(std::chrono::steady_clock::now() - 1ms);
  this_fiber::sleep_until(std::chrono::steady_clock::time_point::min());
  expect_prompt(watch);
}

TEST_F(fiber_test, a_hundred_thousand_fibers_are_spawned_and_joined) {
  constexpr int per_wave = 1000;
  long sum = 0;
  for (int wave = 0; wave < scaled(100); ++wave) {
    std::vector<fiber<>> fibers;
    for (int i = 0; i < per_wave; ++i) fibers.push_back(spawn([&] { ++sum; }));
    joinall(fibers);
  }
  EXPECT_EQ(sum, long{scaled(100)} * per_wave);
}

TEST_F(fiber_test, twenty_thousand_fibers_live_at_the_same_time) {
  const int count = scaled(20'000);
  event go;
  int passed_event = 0;
  std::vector<fiber<>> fibers;
  for (int i = 0; i < count; ++i) {
    fibers.push_back(spawn([&] {
      go.wait();
      ++passed_event;
    }));
  }
  yield();
  EXPECT_EQ(passed_event, 0);
  EXPECT_EQ(fiber_count(), static_cast<std::size_t>(count));
  go.set();
  joinall(fibers);
  EXPECT_EQ(passed_event, count);
}

}  // namespace
}  // namespace coir::test
