// Callbacks that run after a fiber has ended, handlers of the whole process, and stop tokens.
#include <coir/handlers.hpp>

#include "tests/runtime/support.hpp"

#include <atomic>
#include <memory>
#include <stdexcept>
#include <thread>

namespace coir::test {
namespace {

using callback_test = runtime_test;

TEST_F(callback_test, a_thousand_callbacks_run_in_the_order_in_which_they_were_added) {
  std::vector<int> order;
  fiber<> f = spawn([] {});
  for (int i = 0; i < 1000; ++i) f.on_done([&order, i] { order.push_back(i); });
  f.join();
  ASSERT_TRUE(eventually([&] { return order.size() == 1000; }));
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(order[i], i);
}

TEST_F(callback_test, a_callback_added_after_the_end_still_runs_on_a_later_turn) {
  fiber<> f = spawn([] {});
  f.join();
  int calls = 0;
  f.on_done([&] { ++calls; });
  EXPECT_EQ(calls, 0);
  EXPECT_TRUE(eventually([&] { return calls == 1; }));
  f.on_done([&] { ++calls; });
  EXPECT_TRUE(eventually([&] { return calls == 2; }));
}

TEST_F(callback_test, one_that_throws_does_not_stop_the_others_and_every_error_is_reported) {
  const stderr_capture report;
  int calls = 0;
  fiber<> f = spawn({.name = "linked"}, [] {});
  f.on_done([] { throw std::runtime_error("first"); });
  f.on_done([&] { ++calls; });
  f.on_done([] { throw std::runtime_error("second"); });
  f.on_done([&] { ++calls; });
  EXPECT_TRUE(eventually([&] { return calls == 2; }));
  EXPECT_EQ(count_of(report.text(), "a callback of fiber \"linked\""), 2);
  EXPECT_EQ(count_of(report.text(), "first"), 1);
  EXPECT_EQ(count_of(report.text(), "second"), 1);
}

TEST_F(callback_test, errors_of_callbacks_and_delayed_fibers_leave_a_sleep_its_length) {
  const stderr_capture report;
  const stopwatch watch;
  fiber<> f = spawn([] {});
  f.on_done([] { throw std::runtime_error("from a link"); });
  spawn_after(2ms, [] { throw std::runtime_error("started late"); });
  sleep(50ms);
  EXPECT_GE(watch.elapsed(), 50ms);
  expect_took(watch, 50ms);
  EXPECT_EQ(count_of(report.text(), "from a link"), 1);
  EXPECT_EQ(count_of(report.text(), "started late"), 1);
  EXPECT_EQ(spawn_after(1ms, [] { return 5; }).get(), 5) << "the loop goes on";
}

TEST_F(callback_test, a_result_is_passed_on_to_a_promise) {  // gevent's link(AsyncResult)
  const stderr_capture quiet;
  promise<int> of_value;
  promise<int> of_error;
  fiber<int> good = spawn([] { return 7; });
  fiber<int> bad = spawn([]() -> int { throw std::range_error("bad"); });
  for (auto* pair : {&good, &bad}) {
    promise<int>& to = pair == &good ? of_value : of_error;
    pair->on_value([&to](int value) { to.set_value(value); });
    pair->on_error([&to](std::exception_ptr error) { to.set_exception(std::move(error)); });
  }
  EXPECT_EQ(of_value.get_future().get_for(10s), 7);
  future<int> error = of_error.get_future();
  EXPECT_TRUE(error.wait_for(10s) == future_status::ready);
  EXPECT_EQ(error.exception(), bad.exception()) << "the very object";
}

TEST_F(callback_test, unlinking_inside_a_callback_takes_effect_at_once) {
  bool second_ran = false;
  bool is_removed = false;
  bool is_over = false;
  std::uint64_t second = 0;
  fiber<> f = spawn([] {});
  f.on_done([&] { is_removed = f.remove_callback(second); });
  second = f.on_done([&] { second_ran = true; });
  f.on_done([&] { is_over = true; });
  ASSERT_TRUE(eventually([&] { return is_over; }));
  EXPECT_TRUE(is_removed);
  EXPECT_FALSE(second_ran);
}

TEST_F(callback_test, unlinking_what_is_not_linked_is_no_error) {
  fiber<> f = spawn([] {});
  EXPECT_FALSE(f.remove_callback(17));
  f.join();
  EXPECT_FALSE(f.remove_callback(17));
}

TEST_F(callback_test, a_removed_callback_is_destroyed_at_once) {
  auto token = std::make_shared<int>(0);
  fiber<> f = spawn([] {});
  const std::uint64_t number = f.on_done([token] {});
  EXPECT_EQ(token.use_count(), 2);
  EXPECT_TRUE(f.remove_callback(number));
  EXPECT_EQ(token.use_count(), 1);
  f.join();
}

TEST_F(callback_test, value_and_error_callbacks_see_their_kind_of_end_only) {
  const stderr_capture quiet;
  int value = 0;
  int errors = 0;
  int ends = 0;
  fiber<int> good = spawn([] { return 7; });
  fiber<int> bad = spawn([]() -> int { throw std::range_error("bad"); });
  fiber<int> killed = spawn([] { return 8; });
  for (fiber<int>& f : std::vector{good, bad, killed}) {
    f.on_value([&](int v) { value += v; });
    f.on_error([&](std::exception_ptr error) {
      EXPECT_THROW(std::rethrow_exception(error), std::range_error);
      ++errors;
    });
    f.on_done([&] { ++ends; });
  }
  killed.kill();
  EXPECT_TRUE(eventually([&] { return ends == 3; }));
  EXPECT_EQ(value, 7);
  EXPECT_EQ(errors, 1);
}

TEST_F(callback_test, callbacks_run_exactly_once_also_after_repeated_kills) {
  int calls = 0;
  fiber<> f = spawn([] { sleep(1h); });
  f.on_done([&] { ++calls; });
  yield();
  f.kill();
  f.kill();
  f.kill();
  ASSERT_TRUE(eventually([&] { return calls > 0; }));
  sleep(2ms);
  EXPECT_EQ(calls, 1);
}

TEST_F(callback_test, a_callback_may_wait) {
  event may_go;
  bool went_on = false;
  fiber<> f = spawn([] {});
  f.on_done([&] {
    may_go.wait();
    went_on = true;
  });
  f.join();
  EXPECT_FALSE(went_on);
  may_go.set();
  EXPECT_TRUE(eventually([&] { return went_on; }));
}

TEST_F(callback_test, a_callback_may_only_move) {
  bool has_run = false;
  fiber<> f = spawn([] {});
  f.on_done([&, owned = std::make_unique<int>(3)] { has_run = *owned == 3; });
  EXPECT_TRUE(eventually([&] { return has_run; }));
}

TEST_F(callback_test, a_thread_may_add_callbacks_to_a_fiber_of_another) {
  std::atomic<int> calls = 0;
  fiber<> f = spawn([] { sleep(2ms); });
  std::thread other([&calls, f] {
    f.on_done([&] { ++calls; });
    f.join();
    f.on_done([&] { ++calls; });
    EXPECT_TRUE(eventually([&] { return calls == 2; }));
  });
  EXPECT_TRUE(eventually([&] { return calls == 2; }));
  other.join();
}

/// Puts the handlers back that a test found.
class handler_test : public runtime_test {
 protected:
  void TearDown() override {
    set_error_handler(nullptr);
    set_spawn_hook(nullptr);
    runtime_test::TearDown();
  }
};

TEST_F(handler_test, the_error_handler_gets_what_nobody_caught) {
  const stderr_capture report;
  std::vector<unhandled_error> seen;
  EXPECT_FALSE(set_error_handler([&](const unhandled_error& e) { seen.push_back(e); }));
  fiber<> f = spawn({.name = "unlucky"}, [] { throw std::range_error("lost"); });
  f.join();
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].fiber, "unlucky");
  EXPECT_EQ(seen[0].id, f.id());
  EXPECT_FALSE(seen[0].is_callback);
  EXPECT_THROW(std::rethrow_exception(seen[0].error), std::range_error);
  EXPECT_EQ(report.text(), "");
  f.on_done([] { throw 1; });
  ASSERT_TRUE(eventually([&] { return seen.size() == 2; }));
  EXPECT_TRUE(seen[1].is_callback);
  EXPECT_TRUE(set_error_handler(nullptr)) << "returns the one that was in force";
  EXPECT_FALSE(set_error_handler(nullptr));
}

TEST_F(handler_test, an_error_of_the_error_handler_leaves_the_first_one_to_get) {
  const stderr_capture report;
  set_error_handler([](const unhandled_error&) { throw std::logic_error("handler"); });
  fiber<> f = spawn([] { throw std::range_error("first"); });
  EXPECT_THROW(f.get(), std::range_error);
  EXPECT_EQ(count_of(report.text(), "handler"), 2) << "its type is named, and its text";
  EXPECT_EQ(count_of(report.text(), "first"), 1);
  EXPECT_EQ(spawn([] { return 5; }).get(), 5) << "others go on";
}

TEST_F(handler_test, the_spawn_hook_is_called_once_per_fiber_until_it_is_removed) {
  std::vector<std::string> seen;
  set_spawn_hook([&](const spawned_fiber& f) {
    EXPECT_NE(f.id, 0U);
    EXPECT_NE(f.site, nullptr);
    seen.push_back(f.name);
  });
  spawn({.name = "now"}, [] {}).join();
  fiber<> later = spawn_after(1ms, [] {});
  EXPECT_EQ(seen.size(), 2U);
  later.join();
  later.on_done([] {});
  EXPECT_EQ(seen, (std::vector<std::string>{"now", "fiber"}));
  set_spawn_hook(nullptr);
  spawn([] {}).join();
  EXPECT_EQ(seen.size(), 2U);
}

TEST_F(handler_test, an_error_of_the_spawn_hook_comes_out_of_spawn) {
  auto token = std::make_shared<int>(0);
  set_spawn_hook([](const spawned_fiber&) { throw std::range_error("not allowed"); });
  EXPECT_THROW(spawn([token] {}), std::range_error);
  EXPECT_EQ(token.use_count(), 1);
}

using stop_test = runtime_test;

TEST_F(stop_test, a_fiber_sees_that_it_is_asked_to_stop) {
  fiber<int> f = spawn([] {
    int rounds = 0;
    while (!this_fiber::stop_requested()) {
      ++rounds;
      yield();
    }
    return rounds;
  });
  for (int i = 0; i < 5; ++i) yield();
  EXPECT_TRUE(f.request_stop());
  EXPECT_FALSE(f.request_stop()) << "asked already";
  EXPECT_GT(f.get(), 1);
}

TEST_F(stop_test, a_stop_before_the_begin_is_seen_inside) {
  fiber<bool> f = spawn([] { return this_fiber::stop_token().stop_requested(); });
  f.request_stop();
  EXPECT_TRUE(f.get());
}

TEST_F(stop_test, callbacks_of_the_token_run_in_the_one_who_asks) {
  event asked;
  fiber<> f = spawn([&] {
    const std::stop_callback wake(this_fiber::stop_token(), [&] { asked.set(); });
    asked.wait();
  });
  yield();
  f.request_stop();
  EXPECT_TRUE(asked.is_set());
  f.join();
}

TEST_F(stop_test, the_main_fiber_is_never_asked) {
  EXPECT_FALSE(this_fiber::stop_requested());
  EXPECT_FALSE(this_fiber::stop_token().stop_possible());
}

TEST_F(stop_test, another_thread_may_ask) {
  fiber<> f = spawn([] {
    while (!this_fiber::stop_requested()) sleep(1ms);
  });
  std::thread other([f] { f.request_stop(); });
  EXPECT_TRUE(f.join_for(10s));
  other.join();
}

}  // namespace
}  // namespace coir::test
