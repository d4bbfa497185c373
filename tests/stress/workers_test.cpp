// Everything at once on a set of workers: fibers anywhere spawn anywhere, wait for each other in
// all ways, are killed, one by one and all together, and run into deadlines; fibers of the set's
// maker and of a plain thread take part. Afterwards nothing may be lost, left over or held.
#include "tests/stress/workers_mix.hpp"

#include <coir/dump.hpp>

#include <cstdlib>
#include <iostream>
#include <memory>
#include <thread>

#include <unistd.h>

namespace coir::test {
namespace {

using workers_stress_test = runtime_test;

constexpr auto patience = 30s * (slowdown > 1 ? 2 : 1);

/// COIR_STRESS_WORKERS, else 2 to 8.
std::size_t stress_workers(dice& d) {
  const char* const text = std::getenv("COIR_STRESS_WORKERS");
  const std::size_t count =
      text ? std::strtoul(text, nullptr, 10) : static_cast<std::size_t>(2 + d.roll(7));
  std::printf("%zu workers\n", count);
  return count;
}

/// Keeps some fibers acting on the set, or on the calling thread's worker, and kills now and then
/// one.
void keep_acting(const workers_mix& mix, dice d, std::size_t count) {
  std::vector<fiber<>> actors(count);
  const auto begin = [&] {
    return mix.spawn_somewhere(d, [mix, seed = d.fork()] { mix.live(dice(seed)); });
  };
  for (auto& actor : actors) actor = begin();
  while (!mix.w.is_over) {
    sleep(d.short_time(2000));
    for (auto& actor : actors) {
      if (actor.ready()) actor = begin();  // killed with all of the set
    }
    fiber<>& victim = actors[static_cast<std::size_t>(d.roll(static_cast<int>(count)))];
    victim.kill(d.roll(2));
    ++mix.w.kills;
    if (d.roll(50) == 0) mix.w.set.kill(false);
    if (!victim.join_for(patience)) break;
    EXPECT_TRUE(victim.successful());
    victim = begin();
  }
  mix.w.is_over = true;
  EXPECT_EQ(joinall(actors, patience), actors.size()) << "a fiber hangs\n" << dump_all();
}

TEST_F(workers_stress_test, books_balance_after_random_use_of_a_set_from_everywhere) {
  dice d(stress_seed());
  // A hang is found and shown here; this is for one of the main thread itself
  ::alarm(static_cast<unsigned>((stress_length() + 4 * patience).count()));
  auto w = std::make_unique<workers_world>(stress_workers(d));
  const workers_mix mix{*w, act};
  std::thread plain([&mix, own = dice(d.fork())] { keep_acting(mix, own, 6); });
  fiber<> timekeeper = spawn([&] {
    sleep(stress_length());
    w->is_over = true;
  });
  keep_acting(mix, dice(d.fork()), 6 + 4 * w->set.size());
  timekeeper.join();
  plain.join();
  if (!w->set.join_for(patience)) {
    std::cerr << "a fiber of the set hangs\n" << dump_all();
    std::abort();  // what it refers to must not go
  }
  EXPECT_TRUE(eventually([] { return fiber_count() == 0; })) << dump_all();
  expect_balance(*w);
  for (auto& count : w->set.spawn_on_each([] { return fiber_count(); })) EXPECT_EQ(count.get(), 1u);
  EXPECT_GT(w->actions, 100);
  std::printf("%ld actions, %ld spawns, %ld kills, %ld deadlines\n", w->actions.load(),
              w->spawned.load(), w->kills.load(), w->limits.load());
}

}  // namespace
}  // namespace coir::test
