// How a thread_pool, its work and its threads end; and what a fork leaves of them.
#include "tests/runtime/support.hpp"
#include "tests/runtime/task/gate.hpp"

#include <atomic>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

namespace coir::test {
namespace {

using thread_pool_end_test = runtime_test;

/// Keeps the only thread of `p` busy, and no place taken, until `release` is set: with a fiber that
/// some work leaves behind.
void keep_busy(thread_pool& p, event& release) {
  p.apply([&release] { spawn([&release] { release.wait(); }); });
}

TEST_F(thread_pool_end_test, kill_drops_one_piece_of_work_that_has_not_begun) {
  const stderr_capture quiet;
  thread_pool p(1);
  event release;
  keep_busy(p, release);
  bool has_run = false;
  const auto token = std::make_shared<int>(0);
  fiber<int> dropped = p.spawn([&has_run, token] {
    has_run = true;
    return 1;
  });
  EXPECT_FALSE(dropped.join_for(1ms));
  dropped.kill();
  EXPECT_TRUE(dropped.ready());
  EXPECT_TRUE(dropped.successful());
  EXPECT_THROW(dropped.get(), fiber_exit);
  EXPECT_EQ(token.use_count(), 1);
  EXPECT_EQ(p.free_count(), 1u);
  fiber<> with_error = p.spawn([&] { has_run = true; });
  with_error.kill(std::make_exception_ptr(std::range_error("dropped")));
  EXPECT_THROW(with_error.get(), std::range_error);
  release.set();
  EXPECT_EQ(p.apply([] { return 2; }), 2);
  EXPECT_FALSE(has_run);
}

TEST_F(thread_pool_end_test, kill_of_the_pool_drops_what_has_not_begun) {
  thread_pool p(1);
  event release;
  keep_busy(p, release);
  std::atomic<int> runs{0};
  const fiber<> dropped = p.spawn([&] { ++runs; });
  p.kill(false);
  EXPECT_TRUE(dropped.ready());
  EXPECT_EQ(p.unfinished(), 0u);
  const fiber<> dropped_too = p.spawn([&] { ++runs; });
  EXPECT_FALSE(p.kill_for(5ms)) << "its thread still serves a fiber";
  EXPECT_TRUE(dropped_too.ready());
  release.set();
  EXPECT_TRUE(p.kill_for(10s));
  EXPECT_EQ(p.size(), 0u);
  EXPECT_EQ(runs, 0);
}

TEST_F(thread_pool_end_test, kill_waits_for_work_that_runs) {
  thread_pool p(1);
  gate g;
  const fiber<int> f = p.spawn([&] {
    g.pass();
    return 3;
  });
  EXPECT_TRUE(eventually([&] { return g.waiting() == 1; }));
  f.kill(false);
  EXPECT_FALSE(f.kill_for(5ms));
  EXPECT_FALSE(p.kill_for(5ms));
  g.open();
  p.kill();
  EXPECT_TRUE(f.ready());
  EXPECT_EQ(fiber<int>(f).get(), 3);
  EXPECT_EQ(p.size(), 0u);
  EXPECT_EQ(p.apply([] { return 4; }), 4) << "the pool may be used again";
}

TEST_F(thread_pool_end_test, a_thread_of_the_pool_cannot_kill_or_join_the_pool) {
  thread_pool p(1);
  EXPECT_TRUE(p.apply([&] {
    try {
      p.kill();
    } catch (const std::logic_error&) {
      return true;
    }
    return false;
  }));
  EXPECT_TRUE(p.apply([&] {
    try {
      p.join();
    } catch (const std::logic_error&) {
      return true;
    }
    return false;
  }));
}

TEST_F(thread_pool_end_test, join_waits_for_all_work) {
  thread_pool p(2);
  p.join();
  EXPECT_TRUE(p.join_for(0s));
  gate g;
  const fiber<> f = p.spawn([&] { g.pass(); });
  EXPECT_FALSE(p.join_for(5ms));
  g.open();
  p.join();
  EXPECT_TRUE(f.ready());
  EXPECT_EQ(p.unfinished(), 0u);
}

TEST_F(thread_pool_end_test, join_with_raise_error_throws) {
  const stderr_capture quiet;
  thread_pool p(1);
  gate g;
  p.spawn([&] {
    g.pass();
    throw std::range_error("raised");
  });
  const fiber<> opener = spawn([&] { g.open(); });
  EXPECT_THROW(p.join(true), std::range_error);
}

TEST_F(thread_pool_end_test, the_destructor_waits_for_the_work) {
  std::atomic<int> done{0};
  {
    thread_pool p(2);
    for (int i = 0; i < 6; ++i) {
      p.spawn([&] {
        std::this_thread::sleep_for(2ms);
        ++done;
      });
    }
  }
  EXPECT_EQ(done, 6);
}

TEST_F(thread_pool_end_test, a_pool_that_was_never_used_costs_no_thread) {
  const thread_pool p(1000);
  SUCCEED();
}

TEST_F(thread_pool_end_test, plain_threads_may_use_it) {
  thread_pool p(2);
  std::atomic<int> sum{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) sum += p.apply([](int n) { return n; }, 1);
      for (int n : p.map([](int i) { return i; }, std::vector{1, 2, 3})) sum += n;
    });
  }
  for (auto& t : threads) t.join();
  EXPECT_EQ(sum, 4 * (50 + 6));
  EXPECT_LE(p.size(), 2u);
}

TEST_F(thread_pool_end_test, work_may_use_coir) {
  thread_pool p(2);
  queue<int> q;
  const fiber<int> taker = p.spawn([&] {
    sleep(1ms);
    return q.get() + spawn([] { return 1; }).get();
  });
  q.put(7);
  EXPECT_EQ(fiber<int>(taker).get(), 8);
}

TEST_F(thread_pool_end_test, fibers_that_work_leaves_behind_are_served_to_their_end) {
  thread_pool p(1);
  std::atomic<int> steps{0};
  p.apply([&] {
    spawn([&] {
      for (int i = 0; i < 3; ++i) {
        sleep(1ms);
        ++steps;
      }
    });
  });
  EXPECT_TRUE(eventually([&] { return steps == 3; }));
  EXPECT_EQ(p.apply([] { return 1; }), 1);
}

TEST_F(thread_pool_end_test, its_work_may_be_a_member_of_a_group) {
  thread_pool p(2);
  gate gate_of_two;
  const fiber<> one = p.spawn([&] { gate_of_two.pass(); });
  const fiber<> two = p.spawn([&] { gate_of_two.pass(); });
  group g(one, two);
  EXPECT_EQ(g.size(), 2u);
  EXPECT_FALSE(g.join_for(2ms));
  gate_of_two.open();
  g.join();
  EXPECT_TRUE(one.ready());
  EXPECT_TRUE(two.ready());
}

TEST_F(thread_pool_end_test, the_child_of_a_fork_starts_with_no_threads_and_a_usable_pool) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the thread sanitizer forbids threads after a fork";
#endif
  thread_pool p(1);
  gate g;
  const fiber<> running = p.spawn([&] { g.pass(); });
  EXPECT_TRUE(eventually([&] { return g.waiting() == 1; }));
  const pid_t pid = ::fork();
  if (pid == 0) {
    if (p.size() != 0 || p.free_count() != 1 || p.unfinished() != 0) ::_exit(1);
    if (p.apply([] { return 4; }) != 4) ::_exit(2);
    p.kill();
    ::_exit(p.size() == 0 && p.join_for(0s) ? 0 : 3);
  }
  g.open();
  int status = -1;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  running.join();
  EXPECT_EQ(p.apply([] { return 5; }), 5) << "the parent's goes on";
}

TEST_F(thread_pool_end_test, work_that_forks_goes_on_in_the_child) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the thread sanitizer forbids threads after a fork";
#endif
  thread_pool p(2);
  const int status = p.apply([&] {
    const pid_t pid = ::fork();
    if (pid == 0) ::_exit(p.size() == 1 && p.apply([] { return 4; }) == 4 ? 0 : 1);
    int ended = -1;
    ::waitpid(pid, &ended, 0);
    return ended;
  });
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(thread_pool_end_test, many_threads_and_short_work_lose_nothing) {
  thread_pool p(4, 1ms);
  std::atomic<int> done{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      std::vector<fiber<>> work;
      for (int i = 0; i < scaled(2000); ++i) work.push_back(p.spawn([&] { ++done; }));
      joinall(work);
    });
  }
  for (int i = 0; i < 50; ++i) p.set_maxsize(1 + static_cast<std::size_t>(i) % 5);
  for (auto& t : threads) t.join();
  EXPECT_EQ(done, 3 * scaled(2000));
  EXPECT_EQ(p.unfinished(), 0u);
}

TEST_F(thread_pool_end_test, kills_and_ends_of_work_may_cross) {
  for (int round = 0; round < scaled(300); ++round) {
    thread_pool p(2);
    std::vector<fiber<int>> work;
    for (int i = 0; i < 2; ++i) work.push_back(p.spawn([i] { return i; }));
    killall(work);
    for (auto& f : work) {
      EXPECT_TRUE(f.ready());
      EXPECT_TRUE(f.successful());
    }
    EXPECT_EQ(p.free_count(), 2u);
  }
}

}  // namespace
}  // namespace coir::test
