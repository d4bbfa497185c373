// The hook that sees every spawn: once for each fiber that is started, by whichever call.
#include <coir/handlers.hpp>

#include "tests/runtime/support.hpp"

#include <atomic>
#include <map>
#include <mutex>
#include <thread>

namespace coir::test {
namespace {

/// Installs a hook that counts what it sees by the number of the fiber, until end().
class spawn_hook_test : public runtime_test {
 protected:
  void SetUp() override {
    runtime_test::SetUp();
    set_spawn_hook([this](const spawned_fiber& f) {
      const std::lock_guard guard(lock_);
      ++seen_[f.id];
    });
  }
  void TearDown() override {
    end();
    runtime_test::TearDown();
  }

  static void end() { set_spawn_hook(nullptr); }
  /// How often the hook has seen that fiber.
  template <class T>
  int seen(const fiber<T>& f) {
    const std::lock_guard guard(lock_);
    return seen_[f.id()];
  }
  int seen_in_all() {
    const std::lock_guard guard(lock_);
    int all = 0;
    for (const auto& [id, times] : seen_) all += times;
    return all;
  }

 private:
  std::mutex lock_;  // never held over a wait
  std::map<std::uint64_t, int> seen_;
};

TEST_F(spawn_hook_test, a_delayed_start_is_seen_once_and_not_again_when_it_begins) {
  const fiber<> late = spawn_after(1ms, [] {});
  EXPECT_EQ(seen(late), 1);
  late.join();
  EXPECT_EQ(seen(late), 1);
  const fiber<> never_begun = spawn_after(1h, [] {});
  never_begun.kill();
  EXPECT_EQ(seen(never_begun), 1);
  EXPECT_EQ(seen_in_all(), 2);
}

TEST_F(spawn_hook_test, a_delayed_fiber_that_begins_after_the_removal_is_not_seen_then) {
  end();
  int calls = 0;
  set_spawn_hook([&](const spawned_fiber&) { ++calls; });
  const fiber<> late = spawn_after(1ms, [] {});
  end();
  late.join();
  EXPECT_EQ(calls, 1);
}

TEST_F(spawn_hook_test, one_that_was_spawned_before_the_installation_is_not_seen) {
  end();
  const fiber<> early = spawn([] {});
  const fiber<> late = spawn_after(1ms, [] {});
  int calls = 0;
  set_spawn_hook([&](const spawned_fiber&) { ++calls; });
  joinall(std::vector{early, late});
  EXPECT_EQ(calls, 0);
}

TEST_F(spawn_hook_test, every_call_that_spawns_is_seen_once) {
  group g;
  pool p(1);
  scope s;
  const std::vector<fiber<>> fibers{
      spawn([] {}),
      spawn({.name = "named"}, [] {}),
      spawn({.run_first = true}, [] {}),
      g.spawn([] {}),
      p.spawn([] {}),
      p.spawn([] {}),  // waits for a place
      s.spawn([] {}),
  };
  joinall(fibers);
  for (const fiber<>& f : fibers) EXPECT_EQ(seen(f), 1) << f.name();
  EXPECT_EQ(seen_in_all(), 7);
  p.map([](int) {}, std::vector{1, 2, 3});
  EXPECT_EQ(p.apply([] { return 1; }), 1);
  EXPECT_EQ(seen_in_all(), 11);
}

TEST_F(spawn_hook_test, a_spawn_that_found_no_place_is_not_seen) {
  pool p(1);
  event go;
  p.spawn([&] { go.wait(); });
  EXPECT_EQ(seen_in_all(), 1);
  EXPECT_FALSE(p.try_spawn([] {}));
  EXPECT_THROW(p.spawn_for(1ms, [] {}), pool_full);
  EXPECT_EQ(seen_in_all(), 1);
  go.set();
  p.join();
}

TEST_F(spawn_hook_test, it_is_called_before_the_fiber_runs_and_by_its_spawner) {
  end();
  std::vector<std::uint64_t> spawners;
  set_spawn_hook([&](const spawned_fiber&) { spawners.push_back(this_fiber::id()); });
  std::size_t seen_before_the_run = 0;
  const fiber<> outer =
      spawn([&] { spawn([&] { seen_before_the_run = spawners.size(); }).join(); });
  outer.join();
  EXPECT_EQ(spawners, (std::vector{this_fiber::id(), outer.id()}));
  EXPECT_EQ(seen_before_the_run, 2u);
}

TEST_F(spawn_hook_test, spawns_of_other_threads_are_seen) {
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        const fiber<> f = spawn([] {});
        f.join();
        if (seen(f) != 1) ++wrong;
      }
    });
  }
  for (auto& t : threads) t.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(seen_in_all(), 150);
}

}  // namespace
}  // namespace coir::test
