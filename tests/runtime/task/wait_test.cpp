#include "tests/runtime/support.hpp"

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

namespace coir::test {
namespace {

using wait_test = runtime_test;
using places = std::vector<std::size_t>;

TEST_F(wait_test, wait_of_an_event_already_set_returns_it_at_once_again_and_again) {
  std::vector<event> events(1);
  events[0].set();
  for (int round = 0; round < 3; ++round) EXPECT_EQ(wait(events), places{0});
  EXPECT_EQ(wait_any(events[0]), 0U);
}

TEST_F(wait_test, wait_for_objects_of_different_kinds_tells_which_is_ready) {
  event e;
  counting_semaphore units(0);
  queue<int> items;
  fiber<> f = spawn([] { sleep(1h); });
  EXPECT_EQ(wait_any_for(2ms, e, units, items, f), std::nullopt);
  fiber<> helper = spawn([&] { items.put(3); });
  EXPECT_EQ(wait_any(e, units, items, f), 2U);
  EXPECT_EQ(items.get(), 3) << "waiting takes nothing";
  helper = spawn([&] { units.release(); });
  EXPECT_EQ(wait_any(e, units, items, f), 1U);
  EXPECT_TRUE(units.try_acquire());
  helper = spawn([&] { e.set(); });
  EXPECT_EQ(wait_any(e, units, items, f), 0U);
  e.clear();
  helper = spawn([&] { f.kill(); });
  EXPECT_EQ(wait_any(e, units, items, f), 3U);
  helper.join();
}

TEST_F(wait_test, futures_latches_wait_groups_and_channels_may_be_waited_for) {
  promise<int> result;
  future<int> value = result.get_future();
  latch gate(1);
  wait_group work;
  work.add();
  channel<int> items;
  EXPECT_EQ(wait_any_for(1ms, value, gate, work, items), std::nullopt);
  fiber<> sender = spawn([&] { items.send(5); });
  EXPECT_EQ(wait_any(value, gate, work, items), 3U);
  EXPECT_EQ(items.recv(), 5);
  fiber<> helper = spawn([&] {
    work.done();
    result.set_value(7);
    gate.count_down();
    items.close();
  });
  wait_all(value, gate, work, items);
  EXPECT_EQ(value.get(), 7);
  joinall(std::vector{sender, helper});
}

TEST_F(wait_test, of_several_that_are_ready_already_the_first_is_told) {
  event a, b, c;
  b.set();
  c.set();
  EXPECT_EQ(wait_any(a, b, c), 1U);
}

TEST_F(wait_test, the_order_is_that_in_which_they_became_ready) {
  std::vector<event> events(4);
  fiber<> setter = spawn([&] {
    for (int i : {2, 0, 3, 1}) events[i].set();
  });
  EXPECT_EQ(wait(events), (places{2, 0, 3, 1}));
}

TEST_F(wait_test, a_count_ends_the_wait_also_when_the_end_was_a_failure) {
  const stderr_capture quiet;
  std::vector<fiber<>> fibers;
  fibers.push_back(spawn([] { sleep(1h); }));
  fibers.push_back(spawn([] { throw std::range_error("failed"); }));
  fibers.push_back(spawn([] {}));
  EXPECT_EQ(wait(fibers, {.count = 2}), (places{1, 2}));
  EXPECT_EQ(wait(fibers, {.count = 0}), places{});
  fibers[0].kill();
}

TEST_F(wait_test, a_time_limit_ends_the_wait_with_those_that_are_ready) {
  std::vector<event> events(3);
  events[1].set();
  const stopwatch watch;
  EXPECT_EQ(wait(events, {.timeout = 10ms}), places{1});
  expect_took(watch, 10ms);
  EXPECT_EQ(wait(events, {.timeout = 0ms}), places{1});
}

TEST_F(wait_test, wait_for_nothing_returns_at_once) {
  std::vector<event> none;
  EXPECT_EQ(wait(none), places{});
  wait_all();
  EXPECT_TRUE(wait_all_for(1ms));
}

TEST_F(wait_test, wait_all_wants_every_object) {
  event a, b;
  a.set();
  EXPECT_FALSE(wait_all_for(2ms, a, b));
  fiber<> setter = spawn([&] { b.set(); });
  wait_all(a, b);
  EXPECT_TRUE(wait_all_for(0ms, a, b));
}

TEST_F(wait_test, an_observer_takes_no_unit_from_those_who_wait_for_one) {
  counting_semaphore units(0);
  std::vector<int> order;
  fiber<> observing = spawn([&] {
    wait_any(units);
    order.push_back(1);
  });
  fiber<> acquiring = spawn([&] {
    units.acquire();
    order.push_back(2);
  });
  yield();
  units.release();
  joinall(std::vector{observing, acquiring});
  EXPECT_EQ(order.size(), 2U);
  EXPECT_EQ(units.available(), 0);
}

TEST_F(wait_test, a_release_of_several_units_passes_observers_by) {
  counting_semaphore units(0);
  fiber<> observing = spawn([&] { wait_any(units); });
  yield();
  units.release(3);
  observing.join();
  EXPECT_EQ(units.available(), 3);
}

TEST_F(wait_test, a_killed_wait_leaves_nothing_behind) {
  auto units = std::make_unique<counting_semaphore>(0);
  event e;
  fiber<> observing = spawn([&] { wait_any(*units, e); });
  yield();
  observing.kill();
  units->release();
  EXPECT_EQ(units->available(), 1);
  e.set();
}

TEST_F(wait_test, many_objects_are_no_problem) {
  std::vector<fiber<int>> fibers;
  for (int i = 0; i < 500; ++i) {
    fibers.push_back(spawn([i] {
      sleep(milliseconds(i % 7));
      return i;
    }));
  }
  EXPECT_EQ(wait(fibers).size(), 500U);
}

TEST_F(wait_test, threads_may_wait_for_what_others_do) {
  std::vector<event> events(3);
  std::atomic<int> told = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      EXPECT_EQ(wait(events).size(), 3U);
      ++told;
    });
  }
  for (event& e : events) {
    sleep(1ms);
    e.set();
  }
  EXPECT_TRUE(eventually([&] { return told == 3; }));
  for (std::thread& t : threads) t.join();
}

using as_completed_test = runtime_test;

TEST_F(as_completed_test, objects_come_one_by_one_in_the_order_in_which_they_become_ready) {
  std::vector<fiber<int>> fibers;
  for (int ms : {30, 10, 20}) {
    fibers.push_back(spawn([ms] {
      sleep(milliseconds(ms));
      return ms;
    }));
  }
  std::vector<int> order;
  for (fiber<int>& f : as_completed(fibers)) order.push_back(f.get());
  EXPECT_EQ(order, (std::vector{10, 20, 30}));
}

TEST_F(as_completed_test, leaving_early_removes_every_waiter_from_the_objects_not_yet_ready) {
  std::vector<std::unique_ptr<event>> owned;
  std::vector<fiber<>> fibers;
  fibers.push_back(spawn([] {}));
  fibers.push_back(spawn([] { sleep(5ms); }));
  for (fiber<>& f : as_completed(fibers)) {
    EXPECT_TRUE(f.ready());
    break;
  }
  fibers[1].join();
  EXPECT_EQ(wait(fibers).size(), 2U);
}

TEST_F(as_completed_test, nothing_reaches_a_fiber_that_left_early_and_has_ended) {
  std::vector<counting_semaphore*> all;
  std::vector<std::unique_ptr<counting_semaphore>> owned;
  for (int i = 0; i < 8; ++i) {
    owned.push_back(std::make_unique<counting_semaphore>(i == 3 ? 1 : 0));
    all.push_back(owned.back().get());
  }
  struct reference {
    counting_semaphore* to;
    detail::wait_source as_wait_source() const noexcept { return to->as_wait_source(); }
  };
  std::vector<reference> objects;
  for (counting_semaphore* each : all) objects.push_back({each});
  spawn([&] {
    for (reference& each : as_completed(objects)) {
      EXPECT_EQ(each.to, all[3]);
      break;
    }
  }).join();
  spawn([] {  // on the same stack, over what was left of the waiters
    volatile char space[16 * 1024];
    for (volatile char& byte : space) byte = 'x';
  })
      .join();
  for (counting_semaphore* each : all) each->release();
  EXPECT_EQ(all[3]->available(), 2);
  EXPECT_EQ(all[0]->available(), 1);
  owned.clear();  // an object that is waited for must not be destroyed
}

TEST_F(as_completed_test, an_object_that_stands_twice_is_told_twice) {
  event e;
  struct reference {
    event* to;
    detail::wait_source as_wait_source() const noexcept { return to->as_wait_source(); }
  };
  const std::vector<reference> twice{{&e}, {&e}};
  fiber<> setter = spawn([&] { e.set(); });
  EXPECT_EQ(wait(twice), (places{0, 1}));
}

TEST_F(as_completed_test, the_walk_ends_with_its_time) {
  std::vector<event> events(2);
  events[1].set();
  int seen = 0;
  const stopwatch watch;
  for (event& e : as_completed(events, 10ms)) {
    EXPECT_EQ(&e, &events[1]);
    ++seen;
  }
  EXPECT_EQ(seen, 1);
  expect_took(watch, 10ms);
}

using wait_for_all_test = runtime_test;

TEST_F(wait_for_all_test, it_waits_until_nothing_is_left_to_run) {
  int ended = 0;
  for (int i = 0; i < 5; ++i) {
    spawn([&] {
      sleep(2ms);
      spawn([&] {
        sleep(2ms);
        ++ended;
      });
      ++ended;
    });
  }
  wait_for_all();
  EXPECT_EQ(ended, 10);
  EXPECT_EQ(fiber_count(), 0U);
}

TEST_F(wait_for_all_test, it_can_be_repeated_and_fibers_be_used_again_afterwards) {
  for (int round = 0; round < 3; ++round) {
    bool has_run = false;
    spawn([&] { has_run = true; });
    wait_for_all();
    EXPECT_TRUE(has_run);
    EXPECT_TRUE(wait_for_all(0ms));
  }
}

TEST_F(wait_for_all_test, it_answers_false_on_time_out_with_fibers_left) {
  fiber<> f = spawn([] { sleep(1h); });
  const stopwatch watch;
  EXPECT_FALSE(wait_for_all(5ms));
  expect_took(watch, 5ms);
  f.kill();
  EXPECT_TRUE(wait_for_all(10s));
}

TEST_F(wait_for_all_test, delayed_fibers_count) {
  bool has_run = false;
  spawn_after(5ms, [&] { has_run = true; });
  wait_for_all();
  EXPECT_TRUE(has_run);
}

TEST_F(wait_for_all_test, a_fiber_may_wait_for_all_others) {
  int ended = 0;
  fiber<> waiting = spawn([&] {
    // The main fiber is no fiber that ends
    wait_for_all();
    EXPECT_EQ(ended, 1);
  });
  spawn([&] {
    sleep(2ms);
    ++ended;
  });
  waiting.join();
}

}  // namespace
}  // namespace coir::test
