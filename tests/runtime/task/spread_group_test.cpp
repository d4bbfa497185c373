// Groups, pools and scopes whose fibers begin on any worker of a set.
#include <coir/handlers.hpp>

#include "tests/runtime/support.hpp"

#include <algorithm>
#include <atomic>
#include <numeric>
#include <set>
#include <stdexcept>

namespace coir::test {
namespace {

using spread_group_test = runtime_test;

/// Holds its worker until all of `count` fibers hold one, or ten seconds have passed.
bool meets_others(std::atomic<int>& here, int count) {
  const stopwatch watch;
  ++here;
  while (here < count) {
    if (watch.elapsed() > 10s) return false;
  }
  return true;
}

TEST_F(spread_group_test, members_of_a_group_run_at_the_same_time_on_several_workers) {
  workers crew(2);
  group g(crew);
  std::atomic<int> here{0};
  fiber<bool> one = g.spawn(meets_others, std::ref(here), 2);
  fiber<bool> other = g.spawn(meets_others, std::ref(here), 2);
  EXPECT_TRUE(one.get());
  EXPECT_TRUE(other.get());
  g.join();
  EXPECT_TRUE(g.empty());
}

TEST_F(spread_group_test, a_pool_keeps_its_bound_and_its_order_over_all_workers) {
  workers crew(3);
  pool p(crew, 4);
  std::atomic<int> running{0};
  std::atomic<int> most{0};
  std::vector<int> numbers(300);
  std::iota(numbers.begin(), numbers.end(), 0);
  const auto squares = p.map(
      [&](int n) {
        const int now = ++running;
        for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
        }
        n % 3 ? yield() : sleep(1ms);
        --running;
        return n * n;
      },
      numbers);
  for (int n = 0; n < 300; ++n) EXPECT_EQ(squares[static_cast<std::size_t>(n)], n * n);
  EXPECT_LE(most, 4);
  int expected = 0;
  for (const int n : p.imap([](int x) { return x + 1; }, numbers)) EXPECT_EQ(n, ++expected);
  EXPECT_EQ(expected, 300);
}

TEST_F(spread_group_test, a_full_pool_makes_its_spawner_wait) {
  workers crew(2);
  pool p(crew, 2);
  event gate;
  for (int i = 0; i < 2; ++i) p.spawn([&] { gate.wait(); });
  EXPECT_FALSE(p.try_spawn([] {}).has_value());
  EXPECT_THROW(p.spawn_for(5ms, [] {}), pool_full);
  gate.set();
  p.spawn([] {}).join();
  p.join();
}

TEST_F(spread_group_test, a_kill_of_the_group_ends_members_on_all_workers) {
  workers crew(3);
  group g(crew);
  std::atomic<int> ended{0};
  std::atomic<int> begun{0};
  for (int i = 0; i < 30; ++i) {
    g.spawn([&] {
      struct counts {
        std::atomic<int>& at;
        ~counts() { ++at; }
      } guard{ended};
      ++begun;
      sleep(1h);
    });
  }
  ASSERT_TRUE(eventually([&] { return begun == 30; }));
  g.kill();
  EXPECT_EQ(ended, 30);
  EXPECT_TRUE(g.empty());
}

TEST_F(spread_group_test, the_first_failure_of_a_scope_ends_the_others_and_comes_out) {
  workers crew(2);
  std::atomic<int> killed{0};
  std::atomic<int> waiting{0};
  const auto run = [&] {
    scope s(crew, on_failure::kill_others);
    for (int i = 0; i < 10; ++i) {
      s.spawn([&] {
        try {
          ++waiting;
          sleep(1h);
        } catch (const fiber_exit&) {
          ++killed;
          throw;
        }
      });
    }
    s.spawn([&] {
      while (waiting < 10) sleep(1ms);
      throw std::runtime_error("broken");
    });
    s.join();
  };
  set_error_handler([](const unhandled_error&) {});
  EXPECT_THROW(run(), std::runtime_error);
  set_error_handler({});
  EXPECT_EQ(killed, 10);
}

TEST_F(spread_group_test, spawners_on_all_workers_share_one_group) {
  workers crew(3);
  group g(crew);
  std::atomic<int> leaves{0};
  std::vector<fiber<>> spawners;
  for (std::size_t i = 0; i < 3; ++i) {
    spawners.push_back(crew.spawn_on(i, [&] {
      for (int k = 0; k < 200; ++k) g.spawn([&] { ++leaves; });
    }));
  }
  joinall(spawners);
  g.join();
  EXPECT_EQ(leaves, 600);
}

}  // namespace
}  // namespace coir::test
