// Blocking work on threads of its own.
#include "tests/runtime/support.hpp"

#include <atomic>
#include <memory>
#include <stdexcept>
#include <thread>

namespace coir::test {
namespace {

using offload_test = runtime_test;

TEST_F(offload_test, values_come_back) {
  EXPECT_EQ(offload([] { return 42; }), 42);
  EXPECT_EQ(*offload([] { return std::make_unique<int>(7); }), 7);
  int number = 0;
  offload([&] { number = 3; });
  EXPECT_EQ(number, 3);
}

TEST_F(offload_test, exceptions_come_back) {
  EXPECT_THROW(offload([] { throw std::out_of_range("offloaded"); }), std::out_of_range);
  EXPECT_THROW(offload([]() -> int { throw 5; }), int);
}

TEST_F(offload_test, it_runs_on_another_thread) {
  const auto here = std::this_thread::get_id();
  EXPECT_NE(offload([] { return std::this_thread::get_id(); }), here);
  EXPECT_EQ(std::this_thread::get_id(), here);
}

TEST_F(offload_test, other_fibers_run_meanwhile) {
  std::atomic<bool> may_end{false};
  fiber<> releaser = spawn([&] { may_end = true; });
  const bool was_released = offload([&] {
    const stopwatch watch;
    while (!may_end && watch.elapsed() < 10s) std::this_thread::sleep_for(1ms);
    return may_end.load();
  });
  EXPECT_TRUE(was_released);
  releaser.join();
}

TEST_F(offload_test, several_run_at_the_same_time) {
  std::atomic<int> inside{0};
  std::atomic<int> inside_max{0};
  std::vector<fiber<>> fibers;
  for (int i = 0; i < 4; ++i) {
    fibers.push_back(spawn([&] {
      offload([&] {
        const int now = ++inside;
        for (int seen = inside_max; seen < now && !inside_max.compare_exchange_weak(seen, now);) {
        }
        const stopwatch watch;
        while (inside_max < 4 && watch.elapsed() < 10s) std::this_thread::sleep_for(1ms);
        --inside;
      });
    }));
  }
  joinall(fibers);
  EXPECT_EQ(inside_max, 4);
}

TEST_F(offload_test, more_work_than_threads_is_done_in_the_end) {
  std::atomic<int> done{0};
  std::vector<fiber<>> fibers;
  for (int i = 0; i < 200; ++i) fibers.push_back(spawn([&] { offload([&] { ++done; }); }));
  EXPECT_EQ(joinall(fibers, 30s), 200u);
  EXPECT_EQ(done, 200);
}

TEST_F(offload_test, work_may_wake_fibers) {
  event e;
  queue<int> q;
  fiber<int> waiter = spawn([&] {
    e.wait();
    return q.get();
  });
  offload([&] {
    e.set();
    q.put(8);
  });
  EXPECT_EQ(waiter.get_for(10s), 8);
}

TEST_F(offload_test, nothing_of_the_work_is_kept_after_it) {
  auto token = std::make_shared<int>(0);
  offload([captured = token] { return *captured; });
  EXPECT_EQ(token.use_count(), 1);
  try {
    offload([token] { throw token; });
  } catch (const std::shared_ptr<int>& thrown) {
    EXPECT_EQ(thrown, token);
  }
  EXPECT_EQ(token.use_count(), 1);
}

TEST_F(offload_test, several_threads_may_offload) {
  std::atomic<int> done{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      std::vector<fiber<>> fibers;
      for (int i = 0; i < 30; ++i)
        fibers.push_back(spawn([&] { done += offload([] { return 1; }); }));
      joinall(fibers);
    });
  }
  for (auto& t : threads) t.join();
  EXPECT_EQ(done, 90);
}

}  // namespace
}  // namespace coir::test
