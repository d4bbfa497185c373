// What is left of a pool or group after kills and discards: it can be used again, and counts right.
#include "tests/runtime/support.hpp"

#include <stdexcept>
#include <thread>

namespace coir::test {
namespace {

using pool_kill_test = runtime_test;

TEST_F(pool_kill_test, a_pool_can_be_spawned_into_after_a_kill) {
  pool p(2);
  for (int round = 0; round < 3; ++round) {
    const fiber<> begun = p.spawn([] { sleep(1h); });
    yield();
    const fiber<> unbegun = p.spawn([] { FAIL() << "was killed"; });
    p.kill();
    EXPECT_TRUE(begun.ready());
    EXPECT_TRUE(unbegun.ready());
    EXPECT_EQ(p.free_count(), 2u);
    EXPECT_EQ(p.spawn([round] { return round; }).get(), round);
    EXPECT_EQ(p.map([](int n) { return 2 * n; }, std::vector{1, 2, 3}), (std::vector{2, 4, 6}));
  }
}

TEST_F(pool_kill_test, what_is_spawned_after_a_kill_without_wait_lives) {
  group g;
  event go;
  const fiber<> killed = g.spawn([] { sleep(1h); });
  yield();
  g.kill(false);
  fiber<int> alive = g.spawn([&] {
    go.wait();
    return 4;
  });
  killed.join();
  go.set();
  EXPECT_EQ(alive.get(), 4);
}

TEST_F(pool_kill_test, a_kill_that_timed_out_leaves_a_pool_of_use) {
  pool p(2);
  event may_end;
  p.spawn([&] {
    const this_fiber::no_kill guard;
    may_end.wait();
  });
  yield();
  EXPECT_FALSE(p.kill_for(2ms));
  EXPECT_EQ(p.free_count(), 1u);
  EXPECT_EQ(p.apply([] { return 5; }), 5);
  may_end.set();
  p.join();
  EXPECT_EQ(p.free_count(), 2u);
}

TEST_F(pool_kill_test, a_kill_lets_those_who_wait_for_a_place_in_and_kills_what_they_spawn) {
  pool p(1);
  p.spawn([] { sleep(1h); });
  fiber<fiber<>> spawner = spawn([&] { return p.spawn([] { sleep(1h); }); });
  yield();
  EXPECT_FALSE(spawner.ready());
  p.kill();
  ASSERT_TRUE(spawner.join_for(10s));
  EXPECT_TRUE(spawner.get().ready());
  EXPECT_EQ(p.free_count(), 1u);
}

TEST_F(pool_kill_test, the_end_of_a_discarded_member_frees_no_place_of_another) {
  pool p(2);
  event first_may_end;
  event second_may_end;
  const fiber<> one = p.spawn([&] { first_may_end.wait(); });
  const fiber<> two = p.spawn([&] { second_may_end.wait(); });
  EXPECT_TRUE(p.discard(one));
  EXPECT_EQ(p.free_count(), 1u);
  first_may_end.set();
  one.join();
  EXPECT_EQ(p.free_count(), 1u) << "its place was free already";
  EXPECT_FALSE(p.discard(one));
  EXPECT_EQ(p.free_count(), 1u);
  const fiber<> three = p.spawn([&] { second_may_end.wait(); });
  EXPECT_FALSE(p.try_spawn([] {}));
  second_may_end.set();
  joinall(std::vector{two, three});
  EXPECT_EQ(p.free_count(), 2u);
}

TEST_F(pool_kill_test, a_discarded_member_outlives_the_kill_of_its_pool) {
  pool p(1);
  event go;
  const fiber<> f = p.spawn([&] { go.wait(); });
  yield();
  p.discard(f);
  p.kill();
  EXPECT_FALSE(f.ready());
  go.set();
  EXPECT_TRUE(f.join_for(10s));
  EXPECT_TRUE(f.successful());
  EXPECT_EQ(p.free_count(), 1u);
}

TEST_F(pool_kill_test, an_ended_fiber_takes_no_place_even_where_there_is_none) {
  pool p(1);
  event go;
  const fiber<> ended = spawn([] {});
  ended.join();
  p.add(ended);
  EXPECT_EQ(p.free_count(), 1u);
  p.spawn([&] { go.wait(); });
  EXPECT_NO_THROW(p.add(ended, false));
  EXPECT_EQ(p.size(), 1u);
  go.set();
  p.join();
}

TEST_F(pool_kill_test, a_fiber_that_ends_while_its_adder_waits_for_a_place_takes_none) {
  pool p(1);
  event member_may_end;
  event outsider_may_end;
  const fiber<> member = p.spawn([&] { member_may_end.wait(); });
  const fiber<> outsider = spawn([&] { outsider_may_end.wait(); });
  const fiber<> adder = spawn([&] { p.add(outsider); });
  yield();
  outsider_may_end.set();
  outsider.join();
  member_may_end.set();
  EXPECT_TRUE(adder.join_for(10s));
  EXPECT_EQ(p.size(), 0u);
  EXPECT_EQ(p.free_count(), 1u);
}

TEST_F(pool_kill_test, members_that_failed_leave_the_pool_usable_from_other_threads) {
  const stderr_capture quiet;
  pool p(1);
  for (int round = 0; round < 3; ++round) {
    EXPECT_THROW(p.apply([] { throw std::range_error("member"); }), std::range_error);
    int got = 0;
    event is_done;
    std::thread other([&] {
      got = p.apply([] { return 6; });
      is_done.set();
    });
    EXPECT_TRUE(is_done.wait_for(10s));
    other.join();
    EXPECT_EQ(got, 6);
  }
}

}  // namespace
}  // namespace coir::test
