// Everything at once: fibers on three workers put, get, lock, sleep, time out, talk over sockets
// that others close, and are killed at any moment. Afterwards nothing may be lost, left over or
// held.
#include "tests/stress/mix.hpp"

#include <array>
#include <memory>
#include <thread>

namespace coir::test {
namespace {

using mix_test = runtime_test;

/// One worker: keeps some fibers acting and kills now and then one, waited for or not.
void run_worker(world& w, std::uint32_t seed) {
  dice d(seed);
  std::array<fiber<>, 12> actors;
  auto live = [&w](std::uint32_t own_seed) {
    dice own(own_seed);
    while (!w.is_over) act(w, own);
  };
  for (auto& actor : actors) actor = spawn(live, d.fork());
  while (!w.is_over) {
    sleep(d.short_time(2000));
    fiber<>& victim = actors[static_cast<std::size_t>(d.roll(static_cast<int>(actors.size())))];
    victim.kill(d.roll(2));
    ++w.kills;
    victim.join();
    EXPECT_TRUE(victim.successful());
    victim = spawn(live, d.fork());
  }
  EXPECT_EQ(joinall(actors, 20s), actors.size()) << "a fiber hangs";
}

TEST_F(mix_test, nothing_is_lost_or_held_after_random_use_with_kills_and_timeouts) {
  dice d(stress_seed());
  auto w = std::make_unique<world>();
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) threads.emplace_back([&w, seed = d.fork()] { run_worker(*w, seed); });
  fiber<> timekeeper = spawn([&] {
    sleep(stress_length());
    w->is_over = true;
  });
  run_worker(*w, d.fork());
  timekeeper.join();
  for (auto& t : threads) t.join();

  expect_balance(*w);
  EXPECT_GT(w->actions, 100);
  std::printf("%ld actions, %ld kills\n", w->actions.load(), w->kills.load());
}

}  // namespace
}  // namespace coir::test
