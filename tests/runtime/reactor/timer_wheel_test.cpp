// Deadlines: in order, never early, at most one tick late.
#include "runtime/reactor/timer_wheel.hpp"
#include "tests/runtime/support.hpp"

#include <algorithm>
#include <deque>
#include <map>
#include <random>

namespace coir::test {
namespace {

using detail::deadline;
using detail::never;
using detail::timer_node;
using detail::timer_wheel;

constexpr deadline tick = deadline{1} << 16;
constexpr deadline second = 1'000'000'000;

/// A wheel with its nodes, driven by a clock of its own.
class timer_wheel_test : public testing::Test {
 protected:
  timer_node& arm(deadline when) {
    timer_node& node = nodes.emplace_back();
    wheel.arm(node, when);
    return node;
  }
  std::vector<timer_node*> expire(deadline now) {
    std::vector<timer_node*> fired;
    while (timer_node* node = wheel.expire_one(now)) fired.push_back(node);
    return fired;
  }

  timer_wheel wheel;
  std::deque<timer_node> nodes;
};

TEST_F(timer_wheel_test, an_empty_wheel_is_never_due) {
  EXPECT_TRUE(wheel.empty());
  EXPECT_EQ(wheel.next_due(), never);
  EXPECT_TRUE(expire(second).empty());
}

TEST_F(timer_wheel_test, a_node_fires_at_most_a_tick_late_and_never_early) {
  for (const deadline when : {deadline{1}, tick - 1, tick, tick + 1, 63 * tick, 64 * tick,
                              65 * tick, second, 3600 * second, 24 * 365 * 3600 * second}) {
    timer_wheel fresh;
    timer_node node;
    fresh.arm(node, when);
    EXPECT_EQ(fresh.expire_one(when - 1), nullptr) << when;
    EXPECT_EQ(fresh.expire_one(when + tick), &node) << when;
    EXPECT_TRUE(fresh.empty());
    EXPECT_FALSE(node.is_armed());
  }
}

TEST_F(timer_wheel_test, a_deadline_that_has_passed_fires_within_a_tick) {
  expire(10 * second);
  timer_node& late = arm(second);
  EXPECT_EQ(expire(10 * second + tick), std::vector<timer_node*>{&late});
}

TEST_F(timer_wheel_test, nodes_of_one_deadline_fire_in_the_order_in_which_they_were_armed) {
  std::vector<timer_node*> armed;
  for (int i = 0; i < 100; ++i) armed.push_back(&arm(5 * second));
  EXPECT_EQ(expire(6 * second), armed);
}

TEST_F(timer_wheel_test, a_disarmed_node_does_not_fire) {
  timer_node& gone = arm(second);
  timer_node& stays = arm(second);
  wheel.disarm(gone);
  EXPECT_FALSE(gone.is_armed());
  wheel.disarm(gone);  // again: nothing
  EXPECT_EQ(expire(2 * second), std::vector<timer_node*>{&stays});
}

TEST_F(timer_wheel_test, next_due_is_never_later_than_the_first_deadline_allows) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 200; ++round) {
    timer_wheel fresh;
    std::deque<timer_node> armed;
    deadline first = never;
    for (int i = 0; i < 20; ++i) {
      const auto when = static_cast<deadline>(random() >> (10 + random() % 40));
      first = std::min(first, when);
      fresh.arm(armed.emplace_back(), when);
    }
    EXPECT_LE(fresh.next_due(), first + tick);
  }
}

TEST_F(timer_wheel_test, random_deadlines_fire_as_in_a_sorted_list) {
  std::mt19937_64 random(42);
  std::multimap<deadline, timer_node*> expected;
  deadline now = 1000 * second;
  expire(now);
  for (int step = 0; step < scaled(20'000); ++step) {
    if (random() % 3) {
      const deadline when = now + static_cast<deadline>(random() >> (24 + random() % 30));
      expected.emplace(when, &arm(when));
    } else if (!expected.empty() && random() % 2) {
      auto victim = std::next(expected.begin(), static_cast<long>(random() % expected.size() % 50));
      wheel.disarm(*victim->second);
      expected.erase(victim);
    }
    now += static_cast<deadline>(random() % (4 * tick));
    deadline last = 0;
    for (timer_node* node : expire(now)) {
      ASSERT_LE(node->when, now);
      ASSERT_GE(node->when / tick, last / tick);  // in order, as far as ticks tell
      last = node->when;
      const auto [from, to] = expected.equal_range(node->when);
      const auto found =
          std::find_if(from, to, [&](const auto& entry) { return entry.second == node; });
      ASSERT_NE(found, to);
      expected.erase(found);
    }
    if (!expected.empty()) {
      ASSERT_GT(expected.begin()->first + tick, now - 1);
    }
    ASSERT_EQ(wheel.empty(), expected.empty());
  }
}

TEST_F(timer_wheel_test, a_wheel_that_slept_long_fires_everything_that_is_due) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 1000; ++i)
    arm(static_cast<deadline>(random() % (10'000 * static_cast<std::uint64_t>(second))));
  const auto fired = expire(20'000 * second);
  EXPECT_EQ(fired.size(), 1000u);
  EXPECT_TRUE(
      std::ranges::is_sorted(fired, {}, [](const timer_node* n) { return n->when / tick; }));
}

}  // namespace
}  // namespace coir::test
