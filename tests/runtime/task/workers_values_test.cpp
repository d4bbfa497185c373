// What goes along with a fiber that begins on another worker: inherited values, values of its own,
// hooks, error handlers, callbacks and stop tokens.
#include <coir/handlers.hpp>
#include <coir/workers.hpp>

#include "tests/runtime/support.hpp"
#include "tests/runtime/task/gate.hpp"

#include <atomic>
#include <map>
#include <mutex>
#include <stdexcept>
#include <thread>

namespace coir::test {
namespace {

using workers_values_test = runtime_test;

TEST_F(workers_values_test, a_fiber_begins_with_the_values_that_its_spawner_had_at_the_spawn) {
  workers set(3);
  inherited<int> number(0);
  event go;
  number.set(1);
  fiber<int> first = set.spawn([&] {
    go.wait();
    return *number;
  });
  number.set(2);
  fiber<int> second = set.spawn_on(1, [&] {
    const int mine = *number;
    number.set(20);
    fiber<int> child = set.spawn_on(2, [&] { return *number; });
    return 100 * mine + child.get();
  });
  number.set(3);
  go.set();
  EXPECT_EQ(first.get(), 1);
  EXPECT_EQ(second.get(), 220);
  EXPECT_EQ(*number, 3);
  EXPECT_EQ(set.spawn([&] { return *number; }).get(), 3);
  std::thread([&] { EXPECT_EQ(set.spawn([&] { return *number; }).get(), 0); }).join();
}

TEST_F(workers_values_test, inherited_values_are_freed_with_the_last_who_has_them) {
  struct counted {
    explicit counted(std::atomic<int>& n) : alive(&n) { ++n; }
    counted(const counted& other) : alive(other.alive) { ++*alive; }
    ~counted() { --*alive; }
    std::atomic<int>* alive;
  };
  std::atomic<int> alive{0};
  inherited<counted> value;
  fiber<> setter = spawn([&] {
    workers set(2);
    value.set(counted(alive));
    EXPECT_EQ(alive, 1);
    for (int i = 0; i < 50; ++i) {
      fiber<> f = set.spawn([&] { EXPECT_EQ(value->alive, &alive); });
      if (i % 2) f.kill(false);
    }
    set.join();
    EXPECT_EQ(alive, 1);
  });
  setter.get();
  EXPECT_EQ(alive, 0);
}

TEST_F(workers_values_test, a_fiber_local_is_each_fibers_own_and_ends_on_its_thread) {
  struct place {
    std::thread::id made = std::this_thread::get_id();
    std::atomic<int>* ended = nullptr;
    int number = 0;
    ~place() {
      EXPECT_EQ(made, std::this_thread::get_id());
      sleep(microseconds(10));  // it may park
      if (ended) ++*ended;
    }
  };
  std::atomic<int> ended{0};
  workers set(3);
  {
    fiber_local<place> own;
    std::vector<fiber<>> fibers;
    for (int i = 1; i <= 100; ++i) {
      fibers.push_back(set.spawn([&, i] {
        EXPECT_FALSE(own.has_value());
        own->ended = &ended;
        own->number = i;
        sleep(microseconds(50 * (i % 5)));
        EXPECT_EQ(own->number, i);
      }));
    }
    EXPECT_EQ(joinall(fibers, 20s), fibers.size());
    EXPECT_EQ(ended, 100) << "values end before joiners wake";
    EXPECT_FALSE(own.has_value());
  }
}

TEST_F(workers_values_test, the_spawn_hook_sees_each_spawn_once_on_the_spawner) {
  workers set(2);
  std::mutex lock;  // never held over a wait
  std::map<std::uint64_t, int> seen;
  const std::thread::id maker = std::this_thread::get_id();
  set_spawn_hook([&](const spawned_fiber& f) {
    EXPECT_EQ(std::this_thread::get_id(), maker);
    EXPECT_NE(f.site, nullptr);
    const std::lock_guard guard(lock);
    ++seen[f.id];
  });
  std::vector<fiber<>> fibers;
  for (int i = 0; i < 20; ++i) fibers.push_back(set.spawn([] {}));
  for (int i = 0; i < 20; ++i) fibers.push_back(set.spawn_on(1, {.name = "on"}, [] {}));
  for (auto& f : set.spawn_on_each([] {})) fibers.push_back(f);
  set.join();
  set_spawn_hook(nullptr);
  EXPECT_EQ(seen.size(), 42u);
  for (const auto& f : fibers) EXPECT_EQ(seen[f.id()], 1);
}

TEST_F(workers_values_test, what_a_spawn_hook_throws_comes_out_of_spawn_and_nothing_runs) {
  workers set(2);
  set_spawn_hook([](const spawned_fiber&) { throw std::runtime_error("refused"); });
  std::atomic<bool> ran{false};
  auto used = std::make_shared<int>(1);
  EXPECT_THROW(set.spawn([&, used] { ran = true; }), std::runtime_error);
  EXPECT_THROW(set.spawn_on(1, [&, used] { ran = true; }), std::runtime_error);
  set_spawn_hook(nullptr);
  EXPECT_EQ(used.use_count(), 1);
  set.join();
  EXPECT_FALSE(ran);
  EXPECT_EQ(set.spawn([] { return 1; }).get(), 1);
}

TEST_F(workers_values_test, the_error_handler_hears_of_each_failure_once_on_the_fibers_thread) {
  workers set(2);
  std::mutex lock;
  std::map<std::string, int> heard;
  const std::thread::id maker = std::this_thread::get_id();
  const error_handler kept = set_error_handler([&](const unhandled_error& e) {
    EXPECT_NE(std::this_thread::get_id(), maker);
    yield();  // it may park
    const std::lock_guard guard(lock);
    ++heard[e.fiber];
  });
  std::vector<fiber<>> fibers;
  for (int i = 0; i < 20; ++i) {
    fibers.push_back(
        set.spawn({.name = std::to_string(i)}, [] { throw std::runtime_error("expected"); }));
  }
  joinall(fibers);
  EXPECT_EQ(heard.size(), 20u) << "it is called before joiners wake";
  set_error_handler(kept);
  for (const auto& [name, times] : heard) EXPECT_EQ(times, 1) << name;
}

TEST_F(workers_values_test, callbacks_are_called_once_each_in_order_wherever_they_were_added) {
  workers set(3);
  for (int round = 0; round < scaled(100); ++round) {
    mutex m;
    std::vector<int> called;
    std::atomic<int> others{0};
    event go;
    fiber<int> f = set.spawn([&] {
      go.wait();
      return 7;
    });
    for (int i = 0; i < 3; ++i) {
      f.on_done([&, i] {
        yield();
        const std::lock_guard guard(m);
        called.push_back(i);
      });
    }
    f.on_value([&](int value) {
      const std::lock_guard guard(m);
      called.push_back(value);
    });
    const std::uint64_t removed = f.on_done([] { ADD_FAILURE() << "was taken back"; });
    EXPECT_TRUE(f.remove_callback(removed));
    fiber<> adder = set.spawn_on(1, [&] { f.on_done([&] { ++others; }); });
    go.set();
    f.on_done([&] { ++others; });  // at about its end
    adder.join();
    ASSERT_TRUE(eventually([&] {
      const std::lock_guard guard(m);
      return called.size() == 4 && others == 2;
    })) << "round "
        << round;
    EXPECT_EQ(called, (std::vector{0, 1, 2, 7}));
  }
}

TEST_F(workers_values_test, a_join_of_the_set_waits_for_callbacks_of_its_fibers) {
  workers set(2);
  std::atomic<int> called{0};
  for (int i = 0; i < 20; ++i) {
    set.spawn([] { sleep(1ms); }).on_done([&] {
      sleep(2ms);
      ++called;
    });
  }
  set.join();
  EXPECT_EQ(called, 20);
}

TEST_F(workers_values_test, a_stop_request_reaches_a_fiber_on_any_worker) {
  workers set(2);
  std::vector<fiber<>> fibers;
  for (std::size_t i = 0; i < 4; ++i) {
    fibers.push_back(set.spawn_on(i % 2, [] {
      queue<int> q;
      const std::stop_token token = this_fiber::stop_token();
      const std::stop_callback at_stop(token, [&q] { q.put(1); });
      EXPECT_EQ(q.get(), 1);
      EXPECT_TRUE(this_fiber::stop_requested());
    }));
  }
  EXPECT_TRUE(fibers[0].request_stop());
  EXPECT_FALSE(fibers[0].request_stop());
  std::thread([&] { EXPECT_TRUE(fibers[1].request_stop()); }).join();
  set.spawn([&] { EXPECT_TRUE(fibers[2].request_stop()); }).join();
  EXPECT_TRUE(fibers[3].request_stop());
  EXPECT_EQ(joinall(fibers, 10s), fibers.size());
}

TEST_F(workers_values_test, a_stop_request_before_the_beginning_is_seen_at_the_beginning) {
  workers set(1);
  gate g;
  set.spawn([&] { g.pass(); });
  ASSERT_TRUE(eventually([&] { return g.waiting() == 1; }));
  std::vector<fiber<bool>> fibers;
  for (int i = 0; i < 20; ++i) {
    fibers.push_back(i % 2 ? set.spawn([] { return this_fiber::stop_requested(); })
                           : set.spawn_on(0, [] { return this_fiber::stop_requested(); }));
    EXPECT_TRUE(fibers.back().request_stop());
  }
  g.open();
  for (auto& f : fibers) EXPECT_TRUE(f.get());
}

TEST_F(workers_values_test, a_dump_inside_names_the_fibers_of_its_worker) {
  workers set(2);
  event go;
  fiber<> waiter = set.spawn_on(1, {.name = "waits here"}, [&] { go.wait(); });
  const auto dump_on = [&](std::size_t i) { return set.spawn_on(i, [] { return dump(); }).get(); };
  EXPECT_TRUE(eventually([&] { return dump_on(1).find("event") != std::string::npos; }));
  EXPECT_EQ(count_of(dump_on(1), "waits here"), 1) << dump_on(1);
  EXPECT_EQ(count_of(dump_on(0), "waits here"), 0);
  go.set();
  waiter.join();
}

}  // namespace
}  // namespace coir::test
