// Fibers that are joined and killed together.
#include "tests/runtime/support.hpp"

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <thread>

namespace coir::test {
namespace {

using group_test = runtime_test;

TEST_F(group_test, a_group_drops_a_member_by_itself_when_that_ends) {
  group g;
  EXPECT_TRUE(g.empty());
  event go;
  const fiber<> lasting = g.spawn([&] { go.wait(); });
  const fiber<> brief = g.spawn([] {});
  EXPECT_EQ(g.size(), 2u);
  EXPECT_TRUE(g.contains(lasting));
  brief.join();
  EXPECT_EQ(g.size(), 1u) << "its length is that of the live ones";
  EXPECT_FALSE(g.contains(brief));
  go.set();
  lasting.join();
  EXPECT_TRUE(g.empty());
}

TEST_F(group_test, a_member_that_fails_or_is_killed_leaves_as_well) {
  const stderr_capture quiet;
  group g;
  const fiber<> failing = g.spawn([] { throw std::runtime_error("failed"); });
  const fiber<> killed = g.spawn([] { sleep(1h); });
  const fiber<> unbegun = g.spawn([] {});
  unbegun.kill(false);
  failing.join();
  killed.kill();
  EXPECT_EQ(g.size(), 0u);
}

TEST_F(group_test, fibers_spawned_elsewhere_are_added_and_discarded) {
  event go;
  const fiber<> one = spawn([&] { go.wait(); });
  const fiber<int> two = spawn([&] {
    go.wait();
    return 2;
  });
  group g(one, two);
  EXPECT_EQ(g.size(), 2u);
  g.add(one);
  EXPECT_EQ(g.size(), 2u) << "it is a member already";
  EXPECT_TRUE(g.discard(one));
  EXPECT_FALSE(g.discard(one));
  EXPECT_FALSE(g.contains(one));
  EXPECT_EQ(g.size(), 1u);
  g.add(one);
  EXPECT_EQ(g.size(), 2u);
  go.set();
  g.join();
  EXPECT_TRUE(one.ready());
  EXPECT_TRUE(two.ready());
}

TEST_F(group_test, an_ended_fiber_is_not_added) {
  const fiber<> ended = spawn([] {});
  ended.join();
  group g(ended);
  EXPECT_TRUE(g.empty());
  EXPECT_FALSE(g.discard(ended));
}

TEST_F(group_test, one_fiber_may_be_a_member_of_several_groups) {
  group a;
  group b;
  event go;
  const fiber<> f = a.spawn([&] { go.wait(); });
  b.add(f);
  EXPECT_TRUE(a.contains(f));
  EXPECT_TRUE(b.contains(f));
  EXPECT_TRUE(a.discard(f));
  EXPECT_TRUE(b.contains(f));
  go.set();
  b.join();
  EXPECT_TRUE(a.empty());
  EXPECT_TRUE(b.empty());
}

TEST_F(group_test, its_members_are_seen_in_the_order_in_which_they_came) {
  group g;
  event go;
  const fiber<int> first = g.spawn([&] {
    go.wait();
    return 1;
  });
  const fiber<> second = g.spawn([&] { go.wait(); });
  const fiber<> third = spawn([&] { go.wait(); });
  g.add(third);
  EXPECT_EQ(g.members(), (std::vector<any_fiber>{first, second, third}));
  g.discard(second);
  EXPECT_EQ(g.members(), (std::vector<any_fiber>{first, third}));
  go.set();
  joinall(g.members());
  EXPECT_TRUE(g.members().empty());
  second.join();
}

TEST_F(group_test, join_of_an_empty_group_returns_at_once) {
  group g;
  const stopwatch watch;
  g.join();
  EXPECT_TRUE(g.join_for(10s));
  EXPECT_TRUE(g.join_for(0s));
  expect_prompt(watch);
}

TEST_F(group_test, join_with_raise_error_throws_the_error_of_a_member_after_all_have_ended) {
  const stderr_capture quiet;
  group g;
  int ended = 0;
  g.spawn([&] {
    sleep(10ms);
    ++ended;
  });
  g.spawn([&] {
    sleep(5ms);
    throw std::range_error("second");
  });
  g.spawn([] { throw std::runtime_error("third"); });
  EXPECT_THROW(g.join(true), std::range_error) << "the first in the order of the spawns";
  EXPECT_EQ(ended, 1);
  g.spawn([] { throw std::runtime_error("silent"); });
  g.join();
  EXPECT_TRUE(g.join_for(10s, true)) << "the members of this call, not of earlier ones";
}

TEST_F(group_test, join_for_with_raise_error_throws_errors_of_those_that_have_ended) {
  const stderr_capture quiet;
  group g;
  event go;
  g.spawn([&] { go.wait(); });
  EXPECT_FALSE(g.join_for(5ms, true));
  g.spawn([] { throw std::range_error("early"); });
  EXPECT_THROW(g.join_for(5ms, true), std::range_error);
  go.set();
}

TEST_F(group_test, a_member_that_joins_its_group_gets_a_logic_error) {
  group g;
  const fiber<> f = g.spawn([&] { EXPECT_THROW(g.join(), std::logic_error); });
  f.join();
  EXPECT_TRUE(f.successful());
}

TEST_F(group_test, kill_ends_all_and_those_not_begun_never_run) {
  group g;
  int unwound = 0;
  int runs = 0;
  for (int i = 0; i < 5; ++i) {
    g.spawn([&] {
      try {
        sleep(1h);
      } catch (const fiber_exit&) {
        ++unwound;
        throw;
      }
    });
  }
  yield();
  g.spawn([&] { ++runs; });
  g.kill();
  EXPECT_EQ(unwound, 5);
  EXPECT_EQ(runs, 0);
  EXPECT_TRUE(g.empty());
  g.kill();
}

TEST_F(group_test, kill_ends_also_who_is_added_meanwhile) {
  group g;
  std::vector<fiber<>> added;
  g.spawn([&] {
    try {
      sleep(1h);
    } catch (const fiber_exit&) {
      added.push_back(g.spawn([] { sleep(1h); }));
      sleep(5ms);
      added.push_back(g.spawn([] { sleep(1h); }));
      added.push_back(spawn([] { sleep(1h); }));
      g.add(added.back());
      throw;
    }
  });
  yield();
  g.kill();
  EXPECT_TRUE(g.empty());
  EXPECT_EQ(added.size(), 3u);
  for (const fiber<>& f : added) EXPECT_TRUE(f.ready());
}

TEST_F(group_test, kill_throws_the_error_it_is_given) {
  const stderr_capture quiet;
  group g;
  fiber<> f = g.spawn([] { sleep(1h); });
  yield();
  g.kill(std::make_exception_ptr(std::range_error("enough")));
  EXPECT_THROW(f.get(), std::range_error);
}

TEST_F(group_test, kill_without_wait_returns_at_once) {
  group g;
  const fiber<> f = g.spawn([] { sleep(1h); });
  yield();
  g.kill(false);
  EXPECT_FALSE(f.ready());
  g.join();
  EXPECT_TRUE(f.ready());
}

TEST_F(group_test, kill_for_says_whether_all_have_ended) {
  group g;
  event may_end;
  g.spawn([&] {
    try {
      sleep(1h);
    } catch (const fiber_exit&) {
      may_end.wait();
    }
  });
  yield();
  const stopwatch watch;
  EXPECT_FALSE(g.kill_for(10ms));
  expect_took(watch, 10ms);
  may_end.set();
  EXPECT_TRUE(g.kill_for(10s));
  EXPECT_TRUE(g.empty());
}

TEST_F(group_test, repeated_kills_deliver_one_exception_per_fiber) {
  group g;
  int caught = 0;
  bool is_clean = false;
  const fiber<> f = g.spawn([&] {
    try {
      sleep(1h);
    } catch (const fiber_exit&) {
      ++caught;
      sleep(5ms);
      is_clean = true;
    }
  });
  yield();
  for (int i = 0; i < 3; ++i) g.kill(false);
  yield();
  g.kill(false);
  g.kill();
  EXPECT_EQ(caught, 1);
  EXPECT_TRUE(is_clean) << "its clean-up is not cut short";
}

TEST_F(group_test, a_member_that_kills_its_group_dies_last) {
  group g;
  bool went_on = false;
  const fiber<> killer = g.spawn([&] {
    g.kill();
    went_on = true;
  });
  const fiber<> other = g.spawn([] { sleep(1h); });
  g.join();
  EXPECT_TRUE(killer.ready());
  EXPECT_TRUE(other.ready());
  EXPECT_FALSE(went_on);
}

TEST_F(group_test, several_fibers_may_kill_one_group_at_a_time) {
  group g;
  for (int i = 0; i < 5; ++i) g.spawn([] { sleep(1h); });
  yield();
  std::vector<fiber<>> killers;
  for (int i = 0; i < 3; ++i) killers.push_back(spawn([&] { g.kill(); }));
  joinall(killers);
  EXPECT_TRUE(g.empty());
}

TEST_F(group_test, a_killed_joiner_or_killer_leaves_the_group_as_it_is) {
  group g;
  event may_end;
  g.spawn([&] {
    const this_fiber::no_kill guard;
    may_end.wait();
  });
  const fiber<> joiner = spawn([&] { g.join(); });
  const fiber<> killer = spawn([&] { g.kill(); });
  yield();
  joiner.kill();
  killer.kill();
  EXPECT_EQ(g.size(), 1u);
  may_end.set();
  g.join();
}

TEST_F(group_test, the_destructor_waits_for_the_members_and_keeps_a_kill_until_then) {
  int ended = 0;
  bool went_on = false;
  const fiber<> owner = spawn([&] {
    {
      group g;
      g.spawn([&] {
        sleep(10ms);
        ++ended;
      });
    }
    yield();
    went_on = true;
  });
  yield();
  owner.kill();
  EXPECT_EQ(ended, 1);
  EXPECT_FALSE(went_on);
}

TEST_F(group_test, a_name_and_a_stack_size_may_be_given) {
  group g;
  const fiber<std::string> f =
      g.spawn({.name = "named", .stack_bytes = 128 * 1024}, [] { return this_fiber::name(); });
  EXPECT_EQ(f.name(), "named");
  EXPECT_EQ(fiber<std::string>(f).get(), "named");
}

TEST_F(group_test, a_group_is_never_full) {
  group g;
  EXPECT_FALSE(g.full());
  g.wait_available();
  EXPECT_TRUE(g.try_spawn([] {}));
  g.spawn_for(0s, [] {}).join();
  EXPECT_FALSE(g.full());
}

TEST_F(group_test, a_spawn_that_fails_takes_no_place) {
  struct refuses_copies {
    refuses_copies() = default;
    refuses_copies(const refuses_copies&) { throw std::range_error("no copy"); }
    void operator()() const {}
  };
  group g;
  const refuses_copies f;
  EXPECT_THROW(g.spawn(f), std::range_error);
  EXPECT_TRUE(g.empty());
  g.join();
}

TEST_F(group_test, members_of_several_threads_are_joined_and_killed_from_one) {
  group g;
  event may_end;
  std::atomic<int> unwound{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) {
        g.spawn([&] {
          try {
            sleep(1h);
          } catch (const fiber_exit&) {
            ++unwound;
            throw;
          }
        });
      }
      may_end.wait();
    });
  }
  EXPECT_TRUE(eventually([&] { return g.size() == 60; }));
  g.kill();
  EXPECT_TRUE(g.empty());
  EXPECT_LE(unwound, 60);
  may_end.set();
  for (auto& t : threads) t.join();
}

TEST_F(group_test, threads_may_add_and_discard_one_fiber_as_it_ends) {
  for (int round = 0; round < scaled(200); ++round) {
    group g;
    event go;
    const fiber<> f = spawn([&] { go.wait(); });
    std::thread adder([&] {
      g.add(f);
      g.discard(f);
      g.add(f);
    });
    std::thread other([&] { g.add(f); });
    go.set();
    f.join();
    adder.join();
    other.join();
    EXPECT_TRUE(g.join_for(10s));
    EXPECT_EQ(g.size(), 0u);
  }
}

}  // namespace
}  // namespace coir::test
