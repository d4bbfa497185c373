// When a set of workers is quiet: members that go to sleep tell those who wait, while these come
// and go by their time limits. A join may end neither in a crash nor before its time.
#include "tests/stress/stress.hpp"

#include <atomic>

namespace coir::test {
namespace {

using quiet_test = runtime_test;

/// One that looks in often, and so meets members in the middle of telling.
void look_in(workers& set, dice& d) {
  for (int i = d.roll(8); i > 0; --i) set.join_for(microseconds(d.roll(2)));
}

/// Says whether join() came back after the end of what was spawned before it, as it should.
bool join_waits_for_the_end(workers& set, dice& d) {
  std::atomic<bool> is_over{false};
  const fiber<> last = set.spawn([&is_over, pause = d.short_time(100)] {
    sleep(pause);
    is_over = true;
  });
  set.join();
  const bool was_over = is_over;
  last.join();
  return was_over;
}

TEST_F(quiet_test, a_join_of_workers_ends_when_all_has_ended_and_not_before) {
  dice d(stress_seed());
  const auto end = std::chrono::steady_clock::now() + stress_length();
  long rounds = 0;
  while (std::chrono::steady_clock::now() < end) {
    workers set(static_cast<std::size_t>(1 + d.roll(4)));
    for (int i = 0; i < 200; ++i, ++rounds) {
      set.spawn([] {});
      look_in(set, d);
      ASSERT_TRUE(join_waits_for_the_end(set, d)) << "in round " << rounds;
    }
  }
  EXPECT_GT(rounds, 0);
  std::printf("%ld rounds\n", rounds);
}

}  // namespace
}  // namespace coir::test
