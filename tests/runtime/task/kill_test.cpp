// Kills, delivered to fibers in every kind of wait that the public API has. Those of the
// cooperative calls are in io/kill_test.cpp.
#include "tests/runtime/support.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <ostream>
#include <thread>

namespace coir::test {
namespace {

using kill_test = runtime_test;

TEST_F(kill_test, a_fiber_killed_before_it_begins_never_runs) {
  bool has_run = false;
  auto token = std::make_shared<int>(0);
  fiber<int> f = spawn([&has_run, token] {
    has_run = true;
    return 1;
  });
  f.kill();
  EXPECT_TRUE(f.ready());
  EXPECT_TRUE(f.successful());
  EXPECT_EQ(token.use_count(), 1);
  sleep(1ms);
  EXPECT_FALSE(has_run);
  EXPECT_THROW(f.get(), fiber_exit);
}

TEST_F(kill_test, a_delayed_fiber_killed_before_its_time_never_runs) {
  bool has_run = false;
  fiber<> f = spawn_after(20ms, [&] { has_run = true; });
  const stopwatch watch;
  f.kill();
  EXPECT_LT(watch.elapsed_ms(), 2s);
  EXPECT_TRUE(f.ready());
  sleep(40ms);
  EXPECT_FALSE(has_run);
}

TEST_F(kill_test, a_delayed_fiber_far_in_the_future_is_killed_at_once) {
  fiber<> f = spawn_after(1h, [] {});
  const stopwatch watch;
  f.kill();
  expect_prompt(watch);
  EXPECT_TRUE(f.ready());
}

TEST_F(kill_test, code_after_the_wait_does_not_run_but_destructors_do) {
  struct on_exit {
    bool& flag;
    ~on_exit() { flag = true; }
  };
  bool is_unwound = false;
  bool went_on = false;
  fiber<> f = spawn([&] {
    on_exit guard{is_unwound};
    sleep(1h);
    went_on = true;
  });
  yield();
  f.kill();
  EXPECT_TRUE(f.ready());
  EXPECT_TRUE(f.successful());
  EXPECT_TRUE(is_unwound);
  EXPECT_FALSE(went_on);
}

TEST_F(kill_test, a_kill_without_wait_takes_effect_with_the_next_turn) {
  fiber<> f = spawn([] { sleep(1h); });
  yield();
  f.kill(false);
  EXPECT_FALSE(f.ready());
  yield();
  EXPECT_TRUE(f.ready());
}

TEST_F(kill_test, killing_twice_delivers_one_exception) {
  int caught = 0;
  fiber<> f = spawn([&] {
    try {
      sleep(1h);
    } catch (const fiber_exit&) {
      ++caught;
      sleep(5ms);
      throw;
    }
  });
  yield();
  f.kill(false);
  f.kill(false);
  yield();
  f.kill(false);
  f.join();
  EXPECT_EQ(caught, 1);
  EXPECT_TRUE(f.successful());
}

TEST_F(kill_test, killing_an_ended_fiber_does_nothing) {
  fiber<int> f = spawn([] { return 4; });
  f.join();
  f.kill();
  f.kill(false);
  EXPECT_EQ(f.get(), 4);
}

TEST_F(kill_test, a_kill_is_no_std_exception) {
  bool swallowed = false;
  fiber<> f = spawn([&] {
    try {
      sleep(1h);
    } catch (const std::exception&) {
      swallowed = true;
    }
  });
  yield();
  f.kill();
  EXPECT_FALSE(swallowed);
}

TEST_F(kill_test, a_fiber_that_kills_itself_gets_the_exception_at_once) {
  bool went_on = false;
  fiber<> f;
  f = spawn([&] {
    f.kill();
    went_on = true;
  });
  f.join();
  EXPECT_FALSE(went_on);
  EXPECT_TRUE(f.successful());
}

TEST_F(kill_test, a_running_fiber_meets_its_kill_at_its_next_wait) {
  bool reached_wait = false;
  fiber<> f;
  fiber<> killer = spawn([&] { f.kill(false); });
  f = spawn([&] {
    reached_wait = true;
    sleep(1h);
  });
  f.join();
  EXPECT_FALSE(reached_wait);  // the kill came before its beginning
  EXPECT_TRUE(killer.ready());
}

TEST_F(kill_test, a_fiber_may_swallow_its_kill_and_wait_again) {
  fiber<int> f = spawn([] {
    try {
      sleep(1h);
    } catch (const fiber_exit&) {
    }
    sleep(5ms);
    return 6;
  });
  yield();
  const stopwatch watch;
  f.kill();
  EXPECT_GE(watch.elapsed(), 5ms);
  EXPECT_EQ(f.get(), 6);
}

TEST_F(kill_test, a_killed_fiber_reports_nothing) {
  stderr_capture capture;
  fiber<> f = spawn([] { sleep(1h); });
  yield();
  f.kill();
  EXPECT_EQ(capture.text(), "");
}

TEST_F(kill_test, an_exception_thrown_while_a_kill_unwinds_is_the_result) {
  stderr_capture quiet;
  fiber<> f = spawn([] {
    try {
      sleep(1h);
    } catch (const fiber_exit&) {
      throw std::runtime_error("on the way out");
    }
  });
  yield();
  f.kill();
  EXPECT_FALSE(f.successful());
  EXPECT_THROW(f.get(), std::runtime_error);
}

TEST_F(kill_test, a_killer_that_is_killed_while_it_waits_ends_too) {
  fiber<> stubborn = spawn([] {
    try {
      sleep(1h);
    } catch (const fiber_exit&) {
      sleep(50ms);
    }
  });
  yield();
  fiber<> killer = spawn([&] { stubborn.kill(); });
  yield();
  killer.kill();
  EXPECT_TRUE(killer.ready());
  EXPECT_FALSE(stubborn.ready());
  stubborn.join();
}

TEST_F(kill_test, a_group_killed_repeatedly_gets_one_exception_each) {
  int caught = 0;
  std::vector<fiber<>> fibers;
  for (int i = 0; i < 100; ++i) {
    fibers.push_back(spawn([&] {
      try {
        sleep(1h);
      } catch (const fiber_exit&) {
        ++caught;
        throw;
      }
    }));
  }
  yield();
  for (int round = 0; round < 3; ++round) {
    for (auto& f : fibers) f.kill(false);
  }
  joinall(fibers);
  EXPECT_EQ(caught, 100);
}

TEST_F(kill_test, another_thread_can_kill) {
  fiber<> f = spawn([] { sleep(1h); });
  yield();
  std::thread other([f] { f.kill(); });
  f.join();
  other.join();
  EXPECT_TRUE(f.successful());
}

/// Joins a fiber that runs `wait`, which another thread kills. The joiner is parked before the
/// fiber begins, so that nobody but the fiber itself drives the worker's loop.
template <class Wait>
void expect_kill_from_afar(milliseconds delay, Wait wait) {
  std::atomic<bool> has_begun{false};
  fiber<> f = spawn([&] {
    has_begun = true;
    wait();
    ADD_FAILURE() << "the wait returned";
  });
  std::thread other([&] {
    const stopwatch watch;
    while (!has_begun && watch.elapsed() < 10s) {
    }
    std::this_thread::sleep_for(delay);  // the kill may come at any moment of the wait
    f.kill(false);
  });
  EXPECT_TRUE(f.join_for(10s));
  EXPECT_TRUE(f.successful());
  other.join();
}

TEST_F(kill_test, another_thread_can_kill_a_fiber_asleep_alone_on_its_worker) {
  for (int round = 0; round < scaled(200); ++round) {
    expect_kill_from_afar(milliseconds(round % 3), [] { sleep(1h); });
  }
}

TEST_F(kill_test, another_thread_can_kill_a_fiber_that_only_yields) {
  expect_kill_from_afar(5ms, [] {
    for (const stopwatch watch; watch.elapsed() < 10s;) yield();
  });
}

/// What the table's waits wait for: nothing of it ever comes.
struct obstacles {
  mutex held;
  condition_variable condition;
  counting_semaphore no_unit{0};
  event unset;
  queue<int> empty;
  queue<int> full{1};
  queue<int> rendezvous{0};
  fiber<> endless;
  pool busy{1};
};

struct wait_kind {
  const char* name;
  std::function<void(obstacles&)> wait;
};

void PrintTo(const wait_kind& kind, std::ostream* out) { *out << kind.name; }

class kill_of_a_waiter_in : public runtime_test, public testing::WithParamInterface<wait_kind> {
 protected:
  void SetUp() override {
    runtime_test::SetUp();
    things.held.lock();
    things.full.put(1);
    things.endless = spawn([] { sleep(1h); });
    in_pool = things.busy.spawn([] { sleep(1h); });
    yield();
  }
  void TearDown() override {
    things.held.unlock();
    things.endless.kill();
    in_pool.kill();
    runtime_test::TearDown();
  }

  obstacles things;
  fiber<> in_pool;
};

TEST_P(kill_of_a_waiter_in, ends_the_wait_and_unwinds) {
  bool went_on = false;
  bool is_unwound = false;
  fiber<> waiter = spawn([&] {
    try {
      GetParam().wait(things);
      went_on = true;
    } catch (const fiber_exit&) {
      is_unwound = true;
      throw;
    }
  });
  yield();
  yield();
  ASSERT_FALSE(waiter.ready());
  const stopwatch watch;
  waiter.kill();
  expect_prompt(watch);
  EXPECT_TRUE(waiter.ready());
  EXPECT_TRUE(waiter.successful());
  EXPECT_FALSE(went_on);
  EXPECT_TRUE(is_unwound);
  EXPECT_EQ(things.full.size(), 1u);
  EXPECT_EQ(things.full.try_get(), 1);
  EXPECT_EQ(things.full.try_get(), std::nullopt);
  EXPECT_EQ(things.rendezvous.try_get(), std::nullopt);
  EXPECT_EQ(things.no_unit.available(), 0);
  EXPECT_EQ(things.busy.free_count(), 0u);
}

INSTANTIATE_TEST_SUITE_P(
    every_wait, kill_of_a_waiter_in,
    testing::Values(wait_kind{"sleep", [](obstacles&) { sleep(1h); }},
                    wait_kind{"yield",
                              [](obstacles&) {
                                for (;;) yield();
                              }},
                    wait_kind{"mutex_lock", [](obstacles& o) { o.held.lock(); }},
                    wait_kind{"mutex_try_lock_for",
                              [](obstacles& o) { (void)o.held.try_lock_for(1h); }},
                    wait_kind{"condition_wait",
                              [](obstacles& o) {
                                mutex own;
                                std::unique_lock lock(own);
                                o.condition.wait(lock);
                              }},
                    wait_kind{"condition_wait_for",
                              [](obstacles& o) {
                                mutex own;
                                std::unique_lock lock(own);
                                o.condition.wait_for(lock, 1h);
                              }},
                    wait_kind{"semaphore_acquire", [](obstacles& o) { o.no_unit.acquire(); }},
                    wait_kind{"semaphore_try_acquire_for",
                              [](obstacles& o) { (void)o.no_unit.try_acquire_for(1h); }},
                    wait_kind{"event_wait", [](obstacles& o) { o.unset.wait(); }},
                    wait_kind{"event_wait_for", [](obstacles& o) { (void)o.unset.wait_for(1h); }},
                    wait_kind{"queue_get", [](obstacles& o) { o.empty.get(); }},
                    wait_kind{"queue_get_for", [](obstacles& o) { (void)o.empty.get_for(1h); }},
                    wait_kind{"queue_put", [](obstacles& o) { o.full.put(2); }},
                    wait_kind{"queue_put_for", [](obstacles& o) { (void)o.full.put_for(2, 1h); }},
                    wait_kind{"rendezvous_put", [](obstacles& o) { o.rendezvous.put(2); }},
                    wait_kind{"join", [](obstacles& o) { o.endless.join(); }},
                    wait_kind{"join_for", [](obstacles& o) { (void)o.endless.join_for(1h); }},
                    wait_kind{"get", [](obstacles& o) { o.endless.get(); }},
                    wait_kind{"joinall", [](obstacles& o) { joinall(std::vector{o.endless}); }},
                    wait_kind{"pool_spawn", [](obstacles& o) { o.busy.spawn([] { FAIL(); }); }},
                    wait_kind{"pool_join", [](obstacles& o) { o.busy.join(); }},
                    wait_kind{"pool_map",
                              [](obstacles&) {
                                pool own(1);
                                own.map([](int) { sleep(1h); }, std::vector{1, 2, 3});
                              }}),
    [](const auto& kind) { return kind.param.name; });

TEST_F(kill_test, a_fiber_killed_while_it_waits_for_a_condition_holds_the_mutex_again) {
  mutex m;
  condition_variable condition;
  bool held_mutex = false;
  fiber<> f = spawn([&] {
    std::unique_lock lock(m);
    try {
      condition.wait(lock);
    } catch (const fiber_exit&) {
      held_mutex = lock.owns_lock() && !spawn([&] { return m.try_lock(); }).get();
      throw;
    }
  });
  yield();
  m.lock();
  f.kill(false);
  sleep(5ms);
  EXPECT_FALSE(f.ready());  // it needs the mutex to unwind
  m.unlock();
  f.join();
  EXPECT_TRUE(held_mutex);
  EXPECT_TRUE(m.try_lock());
  m.unlock();
}

TEST_F(kill_test, a_kill_of_offloaded_work_waits_for_the_work) {
  bool work_done = false;
  bool went_on = false;
  fiber<> f = spawn([&] {
    offload([&] {
      std::this_thread::sleep_for(50ms);
      work_done = true;
    });
    sleep(1ms);
    went_on = true;
  });
  yield();
  f.kill();
  EXPECT_TRUE(work_done);
  EXPECT_FALSE(went_on);
}

TEST_F(kill_test, a_kill_after_the_wake_was_given_loses_nothing) {
  queue<int> items;
  int taken = 0;
  fiber<> getter = spawn([&] { taken += items.get(); });
  yield();
  items.put(1);  // handed to the getter, which has not run yet
  getter.kill(false);
  getter.join();
  EXPECT_EQ(taken + static_cast<int>(items.size()), 1);
}

TEST_F(kill_test, a_kill_after_a_unit_was_given_loses_no_unit) {
  counting_semaphore units(0);
  bool acquired = false;
  fiber<> waiter = spawn([&] {
    units.acquire();
    acquired = true;
    units.release();
  });
  yield();
  units.release();
  waiter.kill();
  EXPECT_EQ(units.available(), 1) << "acquired: " << acquired;
}

TEST_F(kill_test, a_kill_after_the_mutex_was_handed_over_leaves_it_free) {
  mutex m;
  m.lock();
  fiber<> waiter = spawn([&] { std::lock_guard guard(m); });
  yield();
  m.unlock();
  waiter.kill();
  EXPECT_TRUE(m.try_lock());
  m.unlock();
}

}  // namespace
}  // namespace coir::test
