// The listing of the fibers that have not ended.
#include "tests/runtime/support.hpp"

#include <thread>
#include <vector>

namespace coir::test {
namespace {

using live_fibers_test = runtime_test;

TEST_F(live_fibers_test, all_that_have_not_ended_are_listed_in_the_order_of_their_spawn) {
  const fiber<> ended = spawn([] {});
  ended.join();
  const fiber<> sleeping = spawn([] { sleep(1h); });
  const fiber<int> ready = spawn({.name = "ready"}, [] { return 1; });
  const fiber<> delayed = spawn_after(1h, [] {});
  const std::vector<any_fiber> expected{sleeping, ready, delayed};
  EXPECT_EQ(live_fibers(), expected);
  EXPECT_EQ(live_fibers()[1].name(), "ready");
  ready.join();
  killall(live_fibers());
  EXPECT_TRUE(live_fibers().empty());
}

TEST_F(live_fibers_test, the_calling_fiber_is_among_them_and_the_main_fiber_is_not) {
  EXPECT_TRUE(live_fibers().empty());
  fiber<std::size_t> counting = spawn([] { return live_fibers().size(); });
  EXPECT_EQ(counting.get(), 1u);
}

TEST_F(live_fibers_test, those_of_other_threads_raw_contexts_and_generators_are_not) {
  generator<int> numbers([](auto& out) { out(1); });
  EXPECT_EQ(numbers.next(), 1);
  context<int> other([](int n) { return n; });
  std::thread([] {
    const fiber<> f = spawn([] { sleep(1h); });
    EXPECT_EQ(live_fibers().size(), 1u);
    f.kill();
  }).join();
  EXPECT_TRUE(live_fibers().empty());
}

TEST_F(live_fibers_test, a_listed_fiber_may_end_while_the_list_lives) {
  int runs = 0;
  spawn([&] { ++runs; });
  std::vector<any_fiber> listed = live_fibers();
  ASSERT_EQ(listed.size(), 1u);
  yield();
  EXPECT_EQ(runs, 1);
  EXPECT_TRUE(listed[0].ready());
  EXPECT_TRUE(live_fibers().empty());
}

}  // namespace
}  // namespace coir::test
