// Several workers in one process: where fibers begin, that they stay there, that those of one take
// turns, and that all that is done with a handle works from wherever it is done.
#include <coir/handlers.hpp>
#include <coir/workers.hpp>

#include "tests/runtime/support.hpp"
#include "tests/runtime/task/gate.hpp"

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <numeric>
#include <set>
#include <stdexcept>
#include <thread>

#include <sys/syscall.h>

namespace coir::test {
namespace {

using workers_test = runtime_test;

/// The kernel's number of the calling thread. Not inlined, so that nothing of it is kept.
[[gnu::noinline]] long thread_number() { return ::syscall(SYS_gettid); }

TEST_F(workers_test, a_function_runs_on_a_thread_of_the_set_and_its_result_comes_back) {
  workers set(2);
  EXPECT_EQ(set.size(), 2u);
  fiber<long> where = set.spawn([] { return thread_number(); });
  EXPECT_NE(where.get(), thread_number());
  EXPECT_EQ(set.spawn([](int a, int b) { return a + b; }, 3, 4).get(), 7);
  auto moved = set.spawn([](std::unique_ptr<int> p) { return p; }, std::make_unique<int>(5));
  EXPECT_EQ(*std::move(moved).get(), 5);
}

TEST_F(workers_test, spawn_on_is_on_the_worker_of_that_number) {
  workers set(4);
  std::set<long> threads;
  for (std::size_t i = 0; i < set.size(); ++i) {
    EXPECT_EQ(set.spawn_on(i, [] { return workers::current_number(); }).get(), static_cast<int>(i));
    threads.insert(set.spawn_on(i, [] { return thread_number(); }).get());
    EXPECT_EQ(set.spawn_on(i, {.name = "named"}, [] { return this_fiber::name(); }).get(), "named");
  }
  EXPECT_EQ(threads.size(), 4u);
}

TEST_F(workers_test, spawn_on_a_worker_that_is_not_there_throws_out_of_range_and_nothing_runs) {
  workers set(2);
  bool ran = false;
  EXPECT_THROW(set.spawn_on(2, [&] { ran = true; }), std::out_of_range);
  EXPECT_THROW(set.spawn_on(std::size_t(-1), [&] { ran = true; }), std::out_of_range);
  set.join();
  EXPECT_FALSE(ran);
}

TEST_F(workers_test, spawn_on_each_gives_each_worker_a_copy_in_their_order) {
  workers set(3);
  auto counted = std::make_shared<std::atomic<int>>(0);
  auto fibers = set.spawn_on_each([counted, own = 0]() mutable {
    ++*counted;
    ++own;  // of its own copy
    return 10 * workers::current_number() + own;
  });
  ASSERT_EQ(fibers.size(), 3u);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(fibers[static_cast<std::size_t>(i)].get(), 10 * i + 1);
  EXPECT_EQ(*counted, 3);
}

TEST_F(workers_test, current_is_the_set_inside_and_null_outside) {
  workers set(1);
  workers other(1);
  EXPECT_EQ(workers::current(), nullptr);
  EXPECT_EQ(workers::current_number(), -1);
  EXPECT_EQ(set.spawn([] { return workers::current(); }).get(), &set);
  EXPECT_EQ(other.spawn([] { return workers::current(); }).get(), &other);
  // Also in fibers that are spawned there without the set
  EXPECT_EQ(set.spawn([] { return spawn([] { return workers::current(); }).get(); }).get(), &set);
  std::thread([] {
    EXPECT_EQ(workers::current(), nullptr);
    sleep(1ms);  // a worker, but of no set
    EXPECT_EQ(workers::current(), nullptr);
    EXPECT_EQ(workers::current_number(), -1);
  }).join();
}

TEST_F(workers_test, names_and_numbers_are_those_of_the_spawn) {
  workers set(2);
  std::set<std::uint64_t> ids;
  for (int i = 0; i < 50; ++i) {
    const attributes how{.name = "fiber " + std::to_string(i)};
    fiber<std::pair<std::string, std::uint64_t>> f =
        set.spawn(how, [] { return std::pair(this_fiber::name(), this_fiber::id()); });
    EXPECT_EQ(f.name(), how.name);
    EXPECT_EQ(f.get().first, how.name);
    EXPECT_EQ(f.get().second, f.id());
    ids.insert(f.id());
  }
  EXPECT_EQ(ids.size(), 50u);
  EXPECT_EQ(set.spawn([] { return this_fiber::name(); }).get(), "fiber");
}

TEST_F(workers_test, the_stack_is_as_large_as_asked_for) {
  workers set(2);
  constexpr std::size_t stack_bytes = 8 << 20;
  const auto use_much = [] {
    volatile char much[6 << 20];
    for (std::size_t i = 0; i < sizeof much; i += 4096) much[i] = 1;
    return static_cast<int>(much[0]);
  };
  EXPECT_EQ(set.spawn({.stack_bytes = stack_bytes}, use_much).get(), 1);
  EXPECT_EQ(set.spawn_on(1, {.stack_bytes = stack_bytes}, use_much).get(), 1);
}

TEST_F(workers_test, an_exception_comes_out_of_get_on_whatever_thread_that_is_called) {
  const error_handler kept = set_error_handler([](const unhandled_error&) {});
  workers set(2);
  fiber<int> f = set.spawn_on(0, []() -> int { throw std::runtime_error("on a worker"); });
  auto expect_error = [f]() mutable {
    try {
      f.get();
      ADD_FAILURE() << "get returned";
    } catch (const std::runtime_error& e) {
      EXPECT_STREQ(e.what(), "on a worker");
    }
  };
  expect_error();
  set.spawn_on(1, expect_error).get();
  std::thread(expect_error).join();
  EXPECT_FALSE(f.successful());
  set_error_handler(kept);
}

TEST_F(workers_test, a_fiber_stays_on_its_worker_from_beginning_to_end) {
  workers set(4);
  mutex m;
  std::vector<fiber<>> fibers;
  std::set<int> used;
  for (int i = 0; i < 200; ++i) {
    fibers.push_back(set.spawn([&] {
      const long thread = thread_number();
      const int number = workers::current_number();
      for (int round = 0; round < scaled(20); ++round) {
        switch (round % 3) {
          case 0:
            yield();
            break;
          case 1:
            sleep(microseconds(100));
            break;
          default:
            const std::lock_guard guard(m);
            used.insert(number);
        }
        ASSERT_EQ(thread_number(), thread);
        ASSERT_EQ(workers::current_number(), number);
      }
      fiber<long> child = spawn([] { return thread_number(); });
      ASSERT_EQ(child.get(), thread);  // coir::spawn keeps its promise
    }));
  }
  EXPECT_EQ(joinall(fibers, 30s), fibers.size());
  for (int i : used) EXPECT_LT(i, 4);
}

TEST_F(workers_test, fibers_of_one_worker_never_run_at_the_same_time) {
  workers set(3);
  struct alignas(64) one {
    long count = 0;  // neither atomic nor guarded: only fibers of one worker touch it
    long in_all = 0;
  };
  std::vector<one> own(set.size());
  std::vector<fiber<>> fibers;
  for (int i = 0; i < 300; ++i) {
    fibers.push_back(set.spawn([&] {
      one& mine = own[static_cast<std::size_t>(workers::current_number())];
      for (int round = 0; round < 50; ++round) {
        const long before = mine.count;
        mine.count = before + 1;
        ++mine.in_all;
        if (round % 8 == 0) yield();
        if (round % 16 == 0) sleep(microseconds(50));
      }
    }));
  }
  EXPECT_EQ(joinall(fibers, 30s), fibers.size());
  long count = 0;
  for (const one& each : own) {
    EXPECT_EQ(each.count, each.in_all);
    count += each.count;
  }
  EXPECT_EQ(count, 300 * 50);
}

TEST_F(workers_test, a_worker_that_has_nothing_to_do_begins_what_a_blocked_one_has_spawned) {
  workers set(2);
  std::atomic<int> done{0};
  gate g;
  fiber<> spawner = set.spawn_on(0, [&] {
    for (int i = 0; i < 100; ++i) {
      set.spawn([&] {
        EXPECT_EQ(workers::current_number(), 1);
        sleep(microseconds(10));
        ++done;
      });
    }
    g.pass();  // blocks the thread
  });
  EXPECT_TRUE(eventually([&] { return done == 100; }));
  EXPECT_FALSE(spawner.ready());
  g.open();
  spawner.join();
}

TEST_F(workers_test, what_a_plain_thread_spawns_is_begun_by_whoever_is_free) {
  workers set(3);
  gate g;
  std::vector<fiber<>> blocked;
  for (std::size_t i = 0; i < 2; ++i) blocked.push_back(set.spawn_on(i, [&] { g.pass(); }));
  ASSERT_TRUE(eventually([&] { return g.waiting() == 2; }));
  std::atomic<int> done{0};
  std::thread([&] {
    for (int i = 0; i < 100; ++i) {
      set.spawn([&] {
        EXPECT_EQ(workers::current_number(), 2);
        ++done;
      });
    }
  }).join();
  EXPECT_TRUE(eventually([&] { return done == 100; }));
  g.open();
  joinall(blocked);
}

TEST_F(workers_test, many_are_shared_out_among_all) {
  workers set(2);
  std::atomic<int> begun[2] = {};
  std::atomic<int> arrived{0};
  // Nobody can begin all: each holds its thread until another worker has come
  std::vector<fiber<>> fibers;
  for (int i = 0; i < 2; ++i) {
    fibers.push_back(set.spawn([&] {
      ++begun[workers::current_number()];
      ++arrived;
      const stopwatch watch;
      while (arrived < 2 && watch.elapsed() < 10s) std::this_thread::yield();
    }));
  }
  EXPECT_EQ(joinall(fibers, 20s), 2u);
  EXPECT_EQ(begun[0], 1);
  EXPECT_EQ(begun[1], 1);
}

TEST_F(workers_test, those_spawned_on_one_worker_begin_in_the_order_of_their_spawn) {
  workers set(3);
  for (int round = 0; round < scaled(20); ++round) {
    std::vector<int> order;  // of fibers of one worker
    std::vector<fiber<>> fibers;
    for (int i = 0; i < 100; ++i) {
      fibers.push_back(set.spawn_on(1, [&order, i] { order.push_back(i); }));
      if (i % 7 == 0) set.spawn([] { yield(); });
    }
    joinall(fibers);
    std::vector<int> expected(100);
    std::iota(expected.begin(), expected.end(), 0);
    ASSERT_EQ(order, expected) << "round " << round;
  }
  // From another worker and from the worker itself, too
  for (std::size_t spawner : {std::size_t{0}, std::size_t{1}}) {
    std::vector<int> order;
    set.spawn_on(spawner,
                 [&] {
                   std::vector<fiber<>> fibers;
                   for (int i = 0; i < 50; ++i)
                     fibers.push_back(set.spawn_on(1, [&order, i] { order.push_back(i); }));
                   joinall(fibers);
                 })
        .get();
    EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
    EXPECT_EQ(order.size(), 50u);
  }
}

TEST_F(workers_test, a_busy_worker_does_not_keep_what_it_has_spawned_from_beginning) {
  workers set(1);
  std::atomic<bool> is_over{false};
  fiber<> busy = set.spawn([&] {
    set.spawn([&] { is_over = true; });
    const stopwatch watch;
    while (!is_over && watch.elapsed() < 10s) yield();
    EXPECT_TRUE(is_over);
  });
  EXPECT_TRUE(busy.join_for(20s));
}

TEST_F(workers_test, two_that_only_yield_do_not_keep_others_from_beginning) {
  workers set(1);
  std::atomic<bool> is_over{false};
  auto turn = [&] {
    const stopwatch watch;
    while (!is_over && watch.elapsed() < 10s) yield();
    EXPECT_TRUE(is_over);
  };
  std::vector<fiber<>> busy{set.spawn(turn), set.spawn(turn)};
  fiber<> last = set.spawn([&] { is_over = true; });
  EXPECT_TRUE(last.join_for(20s));
  EXPECT_EQ(joinall(busy, 20s), 2u);
}

TEST_F(workers_test, least_loaded_is_the_worker_with_the_fewest_fibers) {
  workers set(3);
  EXPECT_LT(set.least_loaded(), 3u);
  event go;
  std::vector<fiber<>> fibers;
  for (std::size_t i : {0, 0, 0, 1, 2, 2}) fibers.push_back(set.spawn_on(i, [&] { go.wait(); }));
  EXPECT_TRUE(eventually([&] { return set.least_loaded() == 1; }));
  for (int i = 0; i < 3; ++i) fibers.push_back(set.spawn_on(1, [&] { go.wait(); }));
  EXPECT_TRUE(eventually([&] { return set.least_loaded() == 2; }));
  go.set();
  joinall(fibers);
}

TEST_F(workers_test, least_loaded_counts_what_a_worker_has_not_come_to_yet) {
  workers set(2);
  std::atomic<bool> has_begun{false};
  std::atomic<bool> may_end{false};
  set.spawn_on(0, [&] {
    has_begun = true;
    while (!may_end) std::this_thread::yield();  // keeps its worker
  });
  ASSERT_TRUE(eventually([&] { return has_begun.load(); }));
  event go;
  for (int i = 0; i < 2; ++i) set.spawn_on(1, [&] { go.wait(); });
  for (int i = 0; i < 3; ++i) set.spawn_on(0, [] {});
  EXPECT_EQ(set.least_loaded(), 1u);
  may_end = true;
  EXPECT_TRUE(eventually([&] { return set.least_loaded() == 0; }));
  go.set();
  set.join();
}

TEST_F(workers_test, handles_are_joined_from_the_maker_from_other_workers_and_from_plain_threads) {
  workers set(3);
  event go;
  fiber<int> f = set.spawn_on(0, [&] {
    go.wait();
    return 7;
  });
  std::atomic<int> sum{0};
  std::atomic<int> waited{0};
  std::vector<fiber<>> joiners;
  for (std::size_t i = 0; i < 3; ++i) {
    joiners.push_back(set.spawn_on(i, [&sum, &waited, f]() mutable {
      EXPECT_FALSE(f.join_for(1ms));
      ++waited;
      sum += f.get();
    }));
  }
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) threads.emplace_back([&sum, f]() mutable { sum += f.get(); });
  EXPECT_FALSE(f.join_for(2ms));
  EXPECT_THROW(f.get_for(1ms), timeout);
  EXPECT_TRUE(eventually([&] { return waited == 3; }));
  go.set();
  EXPECT_EQ(f.get(), 7);
  joinall(joiners);
  for (auto& t : threads) t.join();
  EXPECT_EQ(sum, 35);
}

TEST_F(workers_test, wait_any_wait_all_and_as_completed_see_fibers_of_all_workers) {
  workers set(2);
  event first;
  event second;
  fiber<int> a = set.spawn_on(0, [&] {
    first.wait();
    return 1;
  });
  fiber<int> b = set.spawn_on(1, [&] {
    second.wait();
    return 2;
  });
  auto walk = [&] {
    std::vector<int> order;
    std::vector<fiber<int>> both{a, b};
    for (auto& f : as_completed(both)) order.push_back(f.get());
    return order;
  };
  fiber<std::vector<int>> walker = set.spawn(walk);
  std::vector<int> of_thread;
  std::thread thread([&] { of_thread = walk(); });
  EXPECT_FALSE(wait_any_for(1ms, a, b));
  second.set();
  EXPECT_EQ(wait_any(a, b), 1u);
  EXPECT_FALSE(wait_all_for(1ms, a, b));
  first.set();
  wait_all(a, b);
  thread.join();
  if (of_thread.front() == 1) std::swap(of_thread[0], of_thread[1]);  // it began after both
  EXPECT_EQ(of_thread, (std::vector{2, 1}));
  EXPECT_EQ(walker.get().size(), 2u);
  EXPECT_EQ(joinall(std::vector{a, b}, join_options{.count = 2}), 2u);
}

TEST_F(workers_test, a_tree_of_spawns_is_complete_whoever_runs_its_parts) {
  workers set(4);
  const std::function<long(int)> count = [&](int depth) -> long {
    if (depth == 0) return 1;
    std::vector<fiber<long>> children;
    for (int i = 0; i < 3; ++i) children.push_back(set.spawn(count, depth - 1));
    long sum = 1;
    for (auto& child : children) sum += child.get();
    return sum;
  };
  constexpr int depth = slowdown > 1 ? 5 : 7;
  long expected = 1;
  for (int i = 0; i < depth; ++i) expected = 3 * expected + 1;
  EXPECT_EQ(set.spawn(count, depth).get(), expected);
}

TEST_F(workers_test, each_begins_exactly_once_under_many_spawners) {
  workers set(3);
  constexpr int spawners = 4;
  const int each = scaled(4000);
  std::vector<std::atomic<int>> runs(static_cast<std::size_t>(spawners * each));
  auto spawn_all = [&](int of) {
    for (int i = 0; i < each; ++i) {
      set.spawn([&runs, at = static_cast<std::size_t>(of * each + i)] { ++runs[at]; });
      if (i % 64 == 0) yield();
    }
  };
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) threads.emplace_back(spawn_all, t);
  fiber<> inside = set.spawn_on(0, spawn_all, 2);
  spawn_all(3);
  for (auto& t : threads) t.join();
  inside.join();
  set.join();
  for (const auto& n : runs) ASSERT_EQ(n, 1);
}

TEST_F(workers_test, sleeps_and_deadlines_hold_on_every_worker) {
  workers set(3);
  for (auto& f : set.spawn_on_each([] {
         const stopwatch watch;
         sleep(20ms);
         expect_took(watch, 20ms);
         const stopwatch limited;
         EXPECT_THROW(with_timeout(20ms, [] { sleep(1h); }), timeout);
         expect_took(limited, 20ms);
         event never_set;
         EXPECT_FALSE(never_set.wait_for(1ms));
         const stopwatch delayed;
         spawn_after(10ms, [] {}).join();
         expect_took(delayed, 10ms);
       })) {
    EXPECT_TRUE(f.join_for(30s));
    EXPECT_TRUE(f.successful());
  }
}

TEST_F(workers_test, offload_works_from_every_worker) {
  workers set(3);
  for (auto& f : set.spawn_on_each([] {
         const long own = thread_number();
         long there = own;
         for (int i = 0; i < 10; ++i) there = offload([] { return thread_number(); });
         EXPECT_EQ(thread_number(), own);
         return there != own;
       })) {
    EXPECT_TRUE(f.get());
  }
}

TEST_F(workers_test, a_fiber_of_one_set_uses_and_makes_others) {
  workers outer(2);
  std::atomic<int> in_inner{0};
  std::vector<fiber<>> makers;
  for (int i = 0; i < 4; ++i) {
    makers.push_back(outer.spawn([&] {
      workers inner(2);
      for (int n = 0; n < 20; ++n) {
        inner.spawn([&, set = &inner] {
          EXPECT_EQ(workers::current(), set);
          EXPECT_EQ(outer.spawn([] { return 1; }).get(), 1);
          ++in_inner;
        });
      }
      inner.join();
      EXPECT_EQ(workers::current(), &outer);
    }));
  }
  EXPECT_EQ(joinall(makers, 30s), makers.size());
  EXPECT_EQ(in_inner, 80);
}

TEST_F(workers_test, the_thread_that_makes_a_set_goes_on_with_its_own_fibers) {
  int turns = 0;
  bool is_over = false;
  fiber<> own = spawn([&] {
    while (!is_over) {
      ++turns;
      yield();
    }
  });
  {
    workers set(2);
    const int before = turns;
    set.spawn([] { sleep(10ms); }).join();
    EXPECT_GT(turns, before);
    set.spawn([] { sleep(10ms); });
  }
  is_over = true;
  own.join();
}

}  // namespace
}  // namespace coir::test
