// The ends of what several workers run: kills, of one fiber wherever it lies and of a whole set;
// join of a set; and what a set's destructor waits for.
#include <coir/handlers.hpp>
#include <coir/workers.hpp>

#include "tests/runtime/support.hpp"
#include "tests/runtime/task/gate.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>

namespace coir::test {
namespace {

using workers_kill_test = runtime_test;

/// Counts its copies that live, and sees where the last one goes.
class counted {
 public:
  explicit counted(std::atomic<int>& alive) : alive_(&alive) { ++*alive_; }
  counted(const counted& other) : alive_(other.alive_) { ++*alive_; }
  counted& operator=(const counted&) = delete;
  ~counted() { --*alive_; }

 private:
  std::atomic<int>* alive_;
};

/// Where a fiber lies that has not begun.
enum class lying { in_the_common_queue, in_the_inbox, in_a_deque };

void PrintTo(lying where, std::ostream* out) { *out << static_cast<int>(where); }

class kill_of_an_unbegun_fiber : public runtime_test, public testing::WithParamInterface<lying> {
 protected:
  /// Spawns `f` so that it lies there, while the workers are held up by gates.
  template <class Function>
  fiber<> put(workers& set, Function f) {
    switch (GetParam()) {
      case lying::in_the_common_queue:
        return set.spawn(f);
      case lying::in_the_inbox:
        return set.spawn_on(0, f);
      default:
        return fiber<>();
    }
  }

  /// Holds all workers up after one of them has spawned `count` copies of `f`, which lie where the
  /// parameter says; `act` gets their handles; then lets all go on.
  template <class Function, class Act>
  void with_unbegun(int count, Function f, Act act) {
    workers set(2);
    gate g;
    std::vector<fiber<>> unbegun;
    std::vector<fiber<>> holders{set.spawn_on(1, [&] { g.pass(); })};
    ASSERT_TRUE(eventually([&] { return g.waiting() == 1; }));
    holders.push_back(set.spawn_on(0, [&] {
      if (GetParam() == lying::in_a_deque) {
        for (int i = 0; i < count; ++i) unbegun.push_back(set.spawn(f));
      }
      g.pass();
    }));
    ASSERT_TRUE(eventually([&] { return g.waiting() == 2; }));
    if (GetParam() != lying::in_a_deque) {
      for (int i = 0; i < count; ++i) unbegun.push_back(put(set, f));
    }
    act(set, unbegun);
    g.open();
    EXPECT_EQ(joinall(holders, 20s), holders.size());
    EXPECT_TRUE(set.join_for(20s));
  }
};

std::string place_of(const testing::TestParamInfo<lying>& of) {
  switch (of.param) {
    case lying::in_the_common_queue:
      return "it_lies_in_the_common_queue";
    case lying::in_the_inbox:
      return "it_lies_in_the_inbox";
    default:
      return "it_lies_in_a_deque";
  }
}

INSTANTIATE_TEST_SUITE_P(wherever, kill_of_an_unbegun_fiber,
                         testing::Values(lying::in_the_common_queue, lying::in_the_inbox,
                                         lying::in_a_deque),
                         place_of);

TEST_P(kill_of_an_unbegun_fiber, means_that_it_never_runs_and_wakes_joiners_at_once) {
  std::atomic<int> runs{0};
  std::atomic<int> alive{0};
  with_unbegun(
      5, [&, mark = counted(alive)] { ++runs; },
      [&](workers&, std::vector<fiber<>>& unbegun) {
        const int before = alive;
        std::atomic<int> joined{0};
        std::thread thread([&] {
          unbegun[1].join();
          ++joined;
        });
        fiber<> joiner = spawn([&] {
          unbegun[1].join();
          ++joined;
        });
        yield();
        EXPECT_EQ(joined, 0);
        const stopwatch watch;
        unbegun[1].kill();
        expect_prompt(watch);
        EXPECT_TRUE(unbegun[1].ready());
        EXPECT_TRUE(unbegun[1].successful());
        EXPECT_EQ(alive, before - 1) << "its function is not destroyed";
        EXPECT_TRUE(joiner.join_for(10s));
        thread.join();
        EXPECT_EQ(joined, 2);
        unbegun[1].kill();  // again does nothing
      });
  EXPECT_EQ(runs, 4);
  EXPECT_EQ(alive, 0);
}

TEST_P(kill_of_an_unbegun_fiber, with_an_error_gives_that_to_get) {
  const error_handler kept = set_error_handler([](const unhandled_error&) {});
  std::atomic<int> runs{0};
  with_unbegun(
      2, [&] { ++runs; },
      [&](workers&, std::vector<fiber<>>& unbegun) {
        unbegun[0].kill(std::make_exception_ptr(std::runtime_error("why")));
        EXPECT_THROW(unbegun[0].get(), std::runtime_error);
        EXPECT_FALSE(unbegun[0].successful());
      });
  EXPECT_EQ(runs, 1);
  set_error_handler(kept);
}

TEST_P(kill_of_an_unbegun_fiber, by_many_at_a_time_ends_it_once) {
  std::atomic<int> runs{0};
  std::atomic<int> done{0};
  workers killers(3);
  with_unbegun(
      50, [&] { ++runs; },
      [&](workers&, std::vector<fiber<>>& unbegun) {
        for (auto& f : unbegun) f.on_done([&] { ++done; });
        for (auto& killer : killers.spawn_on_each([&] {
               for (const auto& f : unbegun) f.kill();
             })) {
          EXPECT_TRUE(killer.join_for(10s));
        }
        for (const auto& f : unbegun) EXPECT_TRUE(f.ready());
      });
  EXPECT_EQ(runs, 0);
  EXPECT_TRUE(eventually([&] { return done == 50; })) << done;
}

TEST_P(kill_of_an_unbegun_fiber, comes_with_a_kill_of_the_set) {
  std::atomic<int> runs{0};
  std::atomic<int> alive{0};
  with_unbegun(
      50, [&, mark = counted(alive)] { ++runs; },
      [&](workers& set, std::vector<fiber<>>& unbegun) {
        set.kill(false);
        unbegun.clear();
      });
  EXPECT_EQ(runs, 0);
  EXPECT_EQ(alive, 0);
}

TEST_P(kill_of_an_unbegun_fiber, destroys_arguments_whose_destructors_park) {
  struct parks_at_its_end {
    explicit parks_at_its_end(std::atomic<int>& n) : ended(&n) {}
    parks_at_its_end(parks_at_its_end&& other) noexcept
        : ended(std::exchange(other.ended, nullptr)) {}
    ~parks_at_its_end() {
      if (!ended) return;
      sleep(2ms);
      spawn([] {}).join();
      ++*ended;
    }
    std::atomic<int>* ended;
  };
  std::atomic<int> ended{0};
  with_unbegun(
      20,
      [&, made = std::make_shared<parks_at_its_end>(ended)] { ADD_FAILURE() << "it has begun"; },
      [&](workers& set, std::vector<fiber<>>& unbegun) {
        set.kill(false);
        unbegun.clear();
      });
  EXPECT_EQ(ended, 1);
}

TEST_F(workers_kill_test, a_thief_does_not_begin_what_was_spawned_before_a_kill_of_the_set) {
  workers set(2);
  gate first;
  gate second;
  std::atomic<int> runs{0};
  fiber<> holder = set.spawn_on(1, [&] { first.pass(); });
  ASSERT_TRUE(eventually([&] { return first.waiting() == 1; }));
  fiber<> spawner = set.spawn_on(0, [&] {
    for (int i = 0; i < 100; ++i) set.spawn([&] { ++runs; });
    second.pass();
  });
  ASSERT_TRUE(eventually([&] { return second.waiting() == 1; }));
  set.kill(false);
  first.open();  // this worker meets the kill while the other cannot
  EXPECT_TRUE(holder.join_for(10s));
  sleep(5ms);
  second.open();
  EXPECT_TRUE(set.join_for(10s));
  EXPECT_EQ(runs, 0);
}

TEST_F(workers_kill_test, what_is_ready_but_has_not_begun_never_runs_after_a_kill) {
  workers set(1);
  gate g;
  std::atomic<int> runs{0};
  fiber<> child;
  fiber<> lone;
  fiber<> spawner = set.spawn([&] {
    child = spawn([&] { ++runs; });
    lone = spawn([&] { ++runs; });
    g.pass();
  });
  ASSERT_TRUE(eventually([&] { return g.waiting() == 1; }));
  lone.kill(false);
  set.kill(false);
  g.open();
  EXPECT_TRUE(set.join_for(10s));
  EXPECT_TRUE(child.ready());
  EXPECT_TRUE(lone.ready());
  EXPECT_EQ(runs, 0);
}

TEST_F(workers_kill_test, a_fiber_is_killed_from_other_workers_and_from_threads) {
  workers set(3);
  for (int round = 0; round < scaled(100); ++round) {
    std::atomic<int> unwound{0};
    auto wait = [&] {
      const counted mark(unwound);
      sleep(1h);
    };
    std::vector<fiber<>> victims;
    for (std::size_t i = 0; i < 3; ++i) victims.push_back(set.spawn_on(i, wait));
    fiber<> killer = set.spawn_on(1, [&] { victims[0].kill(); });
    std::thread thread([&] { victims[1].kill(); });
    victims[2].kill();
    killer.join();
    thread.join();
    for (const auto& v : victims) ASSERT_TRUE(v.ready());
    ASSERT_EQ(unwound, 0);
  }
}

TEST_F(workers_kill_test, a_kill_meets_a_beginning_at_any_moment_and_books_balance) {
  workers set(2);
  const int rounds = scaled(4000);
  std::atomic<int> alive{0};
  std::atomic<int> done{0};
  for (int round = 0; round < rounds; ++round) {
    fiber<> victim = set.spawn([mark = counted(alive)] { yield(); });
    victim.on_done([&] { ++done; });
    for (int i = round % 32; i > 0; --i) std::atomic_thread_fence(std::memory_order_seq_cst);
    victim.kill(round % 2);
    ASSERT_TRUE(victim.join_for(10s)) << "round " << round;
  }
  EXPECT_TRUE(eventually([&] { return done == rounds; }));
  EXPECT_TRUE(set.join_for(10s));
  EXPECT_EQ(alive, 0);
}

TEST_F(workers_kill_test, join_waits_for_all_and_the_set_can_be_used_again) {
  workers set(3);
  std::atomic<int> done{0};
  for (int round = 1; round <= 5; ++round) {
    for (int i = 0; i < 20; ++i) {
      set.spawn([&] {
        sleep(1ms);
        set.spawn([&] {
          yield();
          spawn([&] {
            sleep(1ms);
            ++done;
          });
        });
      });
    }
    set.join();
    ASSERT_EQ(done, 20 * round);
    EXPECT_TRUE(set.join_for(0ms));
  }
}

TEST_F(workers_kill_test, join_for_ends_with_its_time_and_leaves_the_fibers_alone) {
  workers set(2);
  event go;
  fiber<> f = set.spawn([&] { go.wait(); });
  const stopwatch watch;
  EXPECT_FALSE(set.join_for(10ms));
  expect_took(watch, 10ms);
  EXPECT_FALSE(f.ready());
  go.set();
  EXPECT_TRUE(set.join_for(10s));
  EXPECT_TRUE(f.ready());
}

TEST_F(workers_kill_test, many_join_a_set_at_a_time) {
  workers set(2);
  workers other(2);
  for (int round = 0; round < scaled(50); ++round) {
    event go;
    std::atomic<int> joined{0};
    for (int i = 0; i < 4; ++i) set.spawn([&] { go.wait(); });
    auto join = [&] {
      set.join();
      ++joined;
    };
    std::vector<fiber<>> joiners{spawn(join), spawn(join), other.spawn(join), other.spawn(join)};
    std::thread thread(join);
    if (round % 2) sleep(microseconds(200));
    EXPECT_EQ(joined, 0);
    go.set();
    EXPECT_EQ(joinall(joiners, 10s), joiners.size()) << "round " << round;
    thread.join();
    ASSERT_EQ(joined, 5);
  }
}

TEST_F(workers_kill_test, a_joiner_of_a_set_can_be_killed_and_timed_out) {
  workers set(2);
  event go;
  set.spawn([&] { go.wait(); });
  fiber<> joiner = spawn([&] {
    set.join();
    ADD_FAILURE() << "the set was not done";
  });
  yield();
  joiner.kill();
  EXPECT_TRUE(joiner.successful());
  EXPECT_THROW(with_timeout(5ms, [&] { set.join(); }), timeout);
  go.set();
  set.join();
}

TEST_F(workers_kill_test, a_fiber_of_the_set_cannot_join_it) {
  workers set(2);
  fiber<> f = set.spawn([&] {
    EXPECT_THROW(set.join(), std::logic_error);
    EXPECT_THROW((void)set.join_for(1ms), std::logic_error);
    fiber<> child = spawn([&] { EXPECT_THROW(set.join(), std::logic_error); });
    child.join();
  });
  f.get();
}

TEST_F(workers_kill_test, a_kill_of_the_set_ends_all_its_fibers) {
  workers set(3);
  std::atomic<int> alive{0};
  std::vector<fiber<>> fibers;
  for (int i = 0; i < 100; ++i) {
    fibers.push_back(set.spawn([&] {
      const counted mark(alive);
      fiber<> child = spawn([&] {
        const counted of_child(alive);
        sleep(1h);
      });
      child.join();
    }));
  }
  EXPECT_TRUE(eventually([&] { return alive == 200; }));
  const stopwatch watch;
  set.kill();
  expect_prompt(watch);
  EXPECT_EQ(alive, 0);
  for (const auto& f : fibers) EXPECT_TRUE(f.ready());
  EXPECT_EQ(set.spawn([] { return 3; }).get(), 3) << "the set may be used again";
}

TEST_F(workers_kill_test, a_kill_of_the_set_that_has_ended_touches_nothing_that_comes_after_it) {
  workers set(4);
  for (int round = 0; round < 3000; ++round) {
    for (int i = 0; i < 3; ++i) set.spawn_on(0, [] { sleep(1h); });
    set.kill();
    std::vector<fiber<int>> fresh;
    for (int i = 0; i < 4; ++i) {
      fresh.push_back(set.spawn([] {
        for (int k = 0; k < 3; ++k) yield();
        return 3;
      }));
    }
    for (fiber<int>& f : fresh) ASSERT_EQ(f.get_for(20s), 3) << "round " << round;
  }
}

TEST_F(workers_kill_test, what_fibers_spawn_while_they_are_killed_is_killed_too) {
  workers set(2);
  std::atomic<int> alive{0};
  // Each unwinding spawns another, so many times in a row
  const std::function<void(int)> live = [&](int left) {
    const counted mark(alive);
    try {
      sleep(1h);
    } catch (const fiber_exit&) {
      if (left > 0) left % 2 ? (void)set.spawn(live, left - 1) : (void)spawn(live, left - 1);
      throw;
    }
  };
  for (int i = 0; i < 20; ++i) set.spawn(live, 6);
  EXPECT_TRUE(eventually([&] { return alive == 20; }));
  EXPECT_TRUE(set.kill_for(20s));
  EXPECT_EQ(alive, 0);
}

TEST_F(workers_kill_test, clean_up_that_parks_is_not_cut_short_by_further_rounds_of_a_kill) {
  workers set(2);
  std::atomic<int> cleaned{0};
  std::atomic<int> cut{0};
  std::atomic<int> asleep{0};
  for (int i = 0; i < 10; ++i) {
    set.spawn([&] {
      ++asleep;
      try {
        sleep(1h);
      } catch (const fiber_exit&) {
        try {
          for (int n = 0; n < 10; ++n) sleep(5ms);  // several rounds
          ++cleaned;
        } catch (const fiber_exit&) {
          ++cut;
        }
        throw;
      }
    });
  }
  EXPECT_TRUE(eventually([&] { return asleep == 10; }));
  EXPECT_FALSE(set.kill_for(15ms));
  set.kill();
  EXPECT_EQ(cleaned, 10);
  EXPECT_EQ(cut, 0);
}

TEST_F(workers_kill_test, a_kill_that_a_worker_has_not_met_goes_with_the_set) {
  for (int round = 0; round < scaled(500); ++round) {
    auto set = std::make_unique<workers>(3);  // some of them are still on their way to work
    set->spawn([] {}).join();
    set->kill(false);
    set.reset();
    // Takes the workers over with what was left for them, and the memory of the set
    const std::vector<char> memory(sizeof(workers) + static_cast<std::size_t>(round) * 8, 'x');
    workers next(3);
    EXPECT_EQ(next.spawn([&] { return memory.back(); }).get(), 'x');
  }
}

TEST_F(workers_kill_test, a_no_kill_guard_holds_against_a_kill_of_the_set) {
  workers set(1);
  event go;
  std::atomic<bool> is_guarded{false};
  std::atomic<bool> went_on{false};
  set.spawn([&] {
    const this_fiber::no_kill guard;
    is_guarded = true;
    go.wait();
    went_on = true;
  });
  ASSERT_TRUE(eventually([&] { return is_guarded.load(); }));
  EXPECT_FALSE(set.kill_for(5ms));
  EXPECT_FALSE(went_on);
  go.set();
  EXPECT_TRUE(set.join_for(10s));
  EXPECT_TRUE(went_on);
}

TEST_F(workers_kill_test, a_fiber_of_the_set_can_kill_it_without_waiting) {
  workers set(2);
  std::atomic<int> alive{0};
  for (int i = 0; i < 10; ++i) {
    set.spawn([&] {
      const counted mark(alive);
      sleep(1h);
    });
  }
  EXPECT_TRUE(eventually([&] { return alive == 10; }));
  std::atomic<bool> went_on{false};
  fiber<> killer = set.spawn([&] {
    set.kill(false);
    sleep(1h);
    went_on = true;
  });
  EXPECT_TRUE(set.join_for(10s));
  EXPECT_EQ(alive, 0);
  EXPECT_TRUE(killer.ready());
  EXPECT_FALSE(went_on);
}

TEST_F(workers_kill_test, a_kill_that_waits_inside_the_set_throws_logic_error) {
  workers set(2);
  fiber<bool> killer = set.spawn([&] {
    try {
      set.kill();
    } catch (const std::logic_error&) {
      return true;
    }
    return false;
  });
  EXPECT_TRUE(killer.get());
  EXPECT_TRUE(set.join_for(10s));
}

TEST_F(workers_kill_test, one_that_kills_itself_ends_at_once) {
  workers set(1);
  bool went_on = false;
  fiber<> self;
  event has_handle;
  self = set.spawn([&] {
    has_handle.wait();
    self.kill();
    went_on = true;
  });
  has_handle.set();
  EXPECT_TRUE(self.join_for(10s));
  EXPECT_FALSE(went_on);
}

TEST_F(workers_kill_test, killall_ends_fibers_of_all_workers) {
  workers set(3);
  std::vector<fiber<>> fibers;
  for (std::size_t i = 0; i < 30; ++i) fibers.push_back(set.spawn_on(i % 3, [] { sleep(1h); }));
  fibers.push_back(spawn([] { sleep(1h); }));
  const stopwatch watch;
  killall(fibers);
  expect_prompt(watch);
  for (const auto& f : fibers) EXPECT_TRUE(f.ready());
}

TEST_F(workers_kill_test, the_destructor_waits_for_what_is_under_way) {
  std::atomic<int> done{0};
  {
    workers set(3);
    for (int i = 0; i < 30; ++i) {
      set.spawn([&] {
        sleep(5ms);
        offload([] { std::this_thread::sleep_for(1ms); });
        spawn_after(5ms, [&] { ++done; });
      });
    }
  }
  EXPECT_EQ(done, 30);
}

TEST_F(workers_kill_test, the_destructor_waits_also_when_its_fiber_is_killed) {
  std::atomic<bool> done{false};
  event go;
  fiber<> owner = spawn([&] {
    workers set(2);
    set.spawn([&] {
      go.wait();
      done = true;
    });
  });
  sleep(5ms);
  owner.kill(false);
  EXPECT_FALSE(owner.join_for(5ms));
  go.set();
  EXPECT_TRUE(owner.join_for(10s));
  EXPECT_TRUE(done);
}

TEST_F(workers_kill_test, a_set_may_be_destroyed_by_another_thread_than_its_maker) {
  auto set = std::make_unique<workers>(2);
  std::atomic<int> done{0};
  for (int i = 0; i < 10; ++i) {
    set->spawn([&] {
      sleep(2ms);
      ++done;
    });
  }
  std::thread([&] { set.reset(); }).join();
  EXPECT_EQ(done, 10);
}

TEST_F(workers_kill_test, handles_outlive_the_set) {
  fiber<std::string> f;
  {
    workers set(2);
    f = set.spawn({.name = "gone"}, [] { return std::string("kept"); });
  }
  EXPECT_TRUE(f.ready());
  EXPECT_EQ(f.get(), "kept");
  EXPECT_EQ(f.name(), "gone");
  f.kill();
  int called = 0;
  f.on_done([&] { ++called; });
  EXPECT_TRUE(eventually([&] { return called == 1; }));
}

}  // namespace
}  // namespace coir::test
