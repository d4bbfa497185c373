// A bound on how many fibers run at a time.
#include "tests/runtime/support.hpp"

#include <algorithm>
#include <atomic>
#include <memory>
#include <ranges>
#include <stdexcept>
#include <thread>

#include <sys/wait.h>
#include <unistd.h>

namespace coir::test {
namespace {

using pool_test = runtime_test;

TEST_F(pool_test, a_pool_of_no_size_is_refused) { EXPECT_THROW(pool(0), std::invalid_argument); }

TEST_F(pool_test, the_free_count_drops_with_a_spawn_and_rises_after_the_end) {
  pool p(2);
  EXPECT_EQ(p.free_count(), 2u);
  event go;
  fiber<> one = p.spawn([&] { go.wait(); });
  EXPECT_EQ(p.free_count(), 1u);
  EXPECT_EQ(p.size(), 1u);
  fiber<> two = p.spawn([&] { go.wait(); });
  EXPECT_EQ(p.free_count(), 0u);
  EXPECT_EQ(p.size(), 2u);
  go.set();
  one.join();
  two.join();
  EXPECT_EQ(p.free_count(), 2u);
  EXPECT_EQ(p.size(), 0u);
}

TEST_F(pool_test, the_third_fiber_of_a_pool_of_two_waits_for_a_slot) {
  pool p(2);
  event first_may_end;
  event second_may_end;
  p.spawn([&] { first_may_end.wait(); });
  p.spawn([&] { second_may_end.wait(); });
  bool third_has_run = false;
  bool spawn_returned = false;
  fiber<> spawner = spawn([&] {
    p.spawn([&] { third_has_run = true; });
    spawn_returned = true;
  });
  sleep(5ms);
  EXPECT_FALSE(spawn_returned);
  EXPECT_FALSE(third_has_run);
  second_may_end.set();
  spawner.join();
  EXPECT_TRUE(spawn_returned);
  EXPECT_TRUE(eventually([&] { return third_has_run; }));
  first_may_end.set();
  p.join();
}

TEST_F(pool_test, spawners_get_their_slots_in_order_of_arrival) {
  pool p(1);
  std::vector<int> order;
  std::vector<fiber<>> spawners;
  for (int i = 0; i < 20; ++i) {
    spawners.push_back(spawn([&, i] {
      p.spawn([&, i] {
        order.push_back(i);
        yield();
      });
    }));
  }
  joinall(spawners);
  p.join();
  EXPECT_TRUE(std::ranges::is_sorted(order));
  EXPECT_EQ(order.size(), 20u);
}

TEST_F(pool_test, join_of_an_empty_pool_returns_at_once) {
  pool p(3);
  const stopwatch watch;
  p.join();
  EXPECT_TRUE(p.join_for(10s));
  expect_prompt(watch);
}

TEST_F(pool_test, join_for_is_false_while_members_run_and_true_after) {
  pool p(3);
  p.spawn([] { sleep(50ms); });
  const stopwatch watch;
  EXPECT_FALSE(p.join_for(10ms));
  expect_took(watch, 10ms);
  EXPECT_TRUE(p.join_for(10s));
  EXPECT_EQ(p.size(), 0u);
}

TEST_F(pool_test, a_killed_member_gives_its_slot_back) {
  pool p(1);
  fiber<> member = p.spawn([] { sleep(1h); });
  yield();
  member.kill();
  EXPECT_EQ(p.free_count(), 1u);
  EXPECT_EQ(p.spawn([] { return 1; }).get(), 1);
}

TEST_F(pool_test, a_member_killed_before_it_begins_gives_its_slot_back) {
  pool p(1);
  p.spawn([] { FAIL() << "a killed fiber runs"; }).kill();
  EXPECT_EQ(p.free_count(), 1u);
  p.join();
}

TEST_F(pool_test, a_member_that_fails_gives_its_slot_back) {
  stderr_capture quiet;
  pool p(1);
  fiber<> member = p.spawn([] { throw std::runtime_error("failed"); });
  EXPECT_THROW(member.get(), std::runtime_error);
  EXPECT_EQ(p.free_count(), 1u);
}

TEST_F(pool_test, a_spawner_killed_while_it_waits_takes_no_slot) {
  pool p(1);
  fiber<> member = p.spawn([] { sleep(1h); });
  fiber<> spawner = spawn([&] { p.spawn([] { FAIL() << "the spawner was killed"; }); });
  yield();
  spawner.kill();
  member.kill();
  EXPECT_EQ(p.free_count(), 1u);
  EXPECT_EQ(p.size(), 0u);
}

TEST_F(pool_test, the_destructor_waits_for_the_members) {
  int ended = 0;
  {
    pool p;
    for (int i = 0; i < 10; ++i) {
      p.spawn([&] {
        sleep(5ms);
        ++ended;
      });
    }
  }
  EXPECT_EQ(ended, 10);
}

TEST_F(pool_test, adding_a_fiber_to_a_full_pool_waits_for_a_place) {
  pool p(1);
  event go;
  const fiber<> member = p.spawn([&] { go.wait(); });
  const fiber<> outsider = spawn([] { sleep(1h); });
  bool is_added = false;
  const fiber<> adder = spawn([&] {
    p.add(outsider);
    is_added = true;
  });
  yield();
  EXPECT_FALSE(is_added);
  EXPECT_FALSE(p.contains(outsider));
  go.set();
  adder.join();
  EXPECT_TRUE(p.contains(outsider));
  EXPECT_EQ(p.free_count(), 0u);
  outsider.kill();
  EXPECT_EQ(p.free_count(), 1u);
}

TEST_F(pool_test, add_without_waiting_or_with_a_timeout_throws_pool_full) {
  pool p(1);
  const fiber<> member = p.spawn([] { sleep(1h); });
  const fiber<> outsider = spawn([] { sleep(1h); });
  EXPECT_THROW(p.add(outsider, false), pool_full);
  const stopwatch watch;
  EXPECT_THROW(p.add_for(outsider, 10ms), pool_full);
  expect_took(watch, 10ms);
  EXPECT_NO_THROW(p.add(member, false)) << "it has its place already";
  EXPECT_FALSE(p.contains(outsider));
  member.kill();
  p.add(outsider, false);
  EXPECT_TRUE(p.contains(outsider));
  outsider.kill();
}

TEST_F(pool_test, spawn_for_throws_pool_full_after_its_time) {
  pool p(1);
  const fiber<> member = p.spawn([] { sleep(1h); });
  const stopwatch watch;
  EXPECT_THROW(p.spawn_for(10ms, [] {}), pool_full);
  expect_took(watch, 10ms);
  EXPECT_THROW(p.spawn_for(0s, [] {}), pool_full);
  const fiber<> killer = spawn([&] { member.kill(); });
  EXPECT_EQ(p.spawn_for(
                 10s, [](int n) { return n; }, 5)
                .get(),
            5);
}

TEST_F(pool_test, try_spawn_takes_nothing_when_the_pool_is_full) {
  pool p(1);
  event go;
  const fiber<> member = p.spawn([&] { go.wait(); });
  auto work = std::make_unique<int>(3);
  auto body = [](std::unique_ptr<int> n) { return *n; };
  EXPECT_FALSE(p.try_spawn(body, std::move(work)));
  ASSERT_TRUE(work);
  go.set();
  member.join();
  auto spawned = p.try_spawn(body, std::move(work));
  ASSERT_TRUE(spawned);
  EXPECT_EQ(spawned->get(), 3);
}

TEST_F(pool_test, discard_frees_the_slot_of_a_member_that_runs_and_its_end_frees_no_second_one) {
  pool p(2);
  event go;
  const fiber<> one = p.spawn([&] { go.wait(); });
  const fiber<> two = p.spawn([&] { go.wait(); });
  EXPECT_EQ(p.free_count(), 0u);
  EXPECT_TRUE(p.discard(one));
  EXPECT_EQ(p.free_count(), 1u);
  EXPECT_EQ(p.size(), 1u);
  go.set();
  one.join();
  EXPECT_TRUE(two.ready());
  EXPECT_EQ(p.free_count(), 2u);
  EXPECT_EQ(p.size(), 0u);
}

TEST_F(pool_test, discard_lets_a_waiting_spawner_in) {
  pool p(1);
  event go;
  const fiber<> member = p.spawn([&] { go.wait(); });
  const fiber<> spawner = spawn([&] { p.spawn([] {}).join(); });
  yield();
  EXPECT_FALSE(spawner.ready());
  p.discard(member);
  spawner.join();
  EXPECT_FALSE(member.ready());
  go.set();
  member.join();
}

TEST_F(pool_test, wait_available_waits_until_a_place_is_free_and_takes_none) {
  pool p(1);
  const stopwatch watch;
  p.wait_available();
  EXPECT_TRUE(p.wait_available_for(10s));
  expect_prompt(watch);
  EXPECT_FALSE(p.full());
  event go;
  p.spawn([&] { go.wait(); });
  EXPECT_TRUE(p.full());
  EXPECT_FALSE(p.wait_available_for(5ms));
  bool is_available = false;
  const fiber<> waiter = spawn([&] {
    p.wait_available();
    is_available = true;
  });
  yield();
  EXPECT_FALSE(is_available);
  go.set();
  waiter.join();
  EXPECT_EQ(p.free_count(), 1u);
}

TEST_F(pool_test, join_waits_for_those_who_wait_for_a_place) {
  pool p(1);
  int ran = 0;
  p.spawn([&] { sleep(2ms); });
  for (int i = 0; i < 3; ++i) {
    spawn([&] {
      p.spawn([&] {
        sleep(2ms);
        ++ran;
      });
    });
  }
  yield();
  p.join();
  EXPECT_EQ(ran, 3);
}

TEST_F(pool_test, kill_ends_members_and_those_who_get_their_places) {
  pool p(2);
  int ended = 0;
  for (int i = 0; i < 2; ++i) p.spawn([] { sleep(1h); });
  const fiber<> spawner = spawn([&] {
    for (int i = 0; i < 3; ++i) {
      p.spawn([&] { sleep(1h); }).join();
      ++ended;
    }
  });
  yield();
  spawner.kill(false);
  p.kill();
  EXPECT_EQ(p.free_count(), 2u);
  EXPECT_LE(ended, 3);
  spawner.join();
}

TEST_F(pool_test, the_child_of_a_fork_has_an_empty_pool) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the thread sanitizer does not follow fibers into the child of a fork";
#endif
  pool p(1);
  const fiber<> member = p.spawn([] { sleep(1h); });
  yield();
  const pid_t pid = ::fork();
  if (pid == 0) {
    int result = 0;
    if (p.free_count() != 1 || p.size() != 0) result = 1;
    p.join();
    if (p.spawn([] { return 4; }).get() != 4) result = 2;
    if (p.discard(member)) result = p.free_count() == 1 ? 0 : 3;
    ::_exit(result);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_EQ(p.size(), 1u);
  member.kill();
}

TEST_F(pool_test, an_unbounded_pool_never_waits) {
  pool p;
  event go;
  for (int i = 0; i < 1000; ++i) p.spawn([&] { go.wait(); });
  EXPECT_EQ(p.size(), 1000u);
  go.set();
  p.join();
}

TEST_F(pool_test, several_threads_share_one_pool) {
  pool p(4);
  std::atomic<int> running{0};
  std::atomic<int> running_max{0};
  std::atomic<int> total{0};
  auto use = [&] {
    for (int i = 0; i < 50; ++i) {
      p.spawn([&] {
        const int now = ++running;
        for (int seen = running_max; seen < now && !running_max.compare_exchange_weak(seen, now);) {
        }
        sleep(1ms);
        --running;
        ++total;
      });
    }
    p.join();
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) threads.emplace_back(use);
  for (auto& t : threads) t.join();
  EXPECT_EQ(total, 150);
  EXPECT_LE(running_max, 4);
}

}  // namespace
}  // namespace coir::test
