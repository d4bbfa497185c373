// Wakes that come from other threads, workers or not, to a worker that sleeps in the kernel.
#include "runtime/io/io.hpp"
#include "tests/runtime/support.hpp"

#include <atomic>
#include <thread>

namespace coir::test {
namespace {

using foreign_wake_test = runtime_test;

TEST_F(foreign_wake_test, a_thread_that_never_waits_wakes_through_every_door) {
  event e;
  queue<int> q;
  counting_semaphore units(0);
  std::thread plain([&] {
    e.set();
    q.put(3);
    units.release();
  });
  e.wait();
  EXPECT_EQ(q.get(), 3);
  units.acquire();
  plain.join();
}

TEST_F(foreign_wake_test, a_worker_asleep_without_a_timer_is_woken_many_times) {
  queue<int> to_here(1);
  const int rounds = scaled(10'000);
  std::thread other([&] {
    for (int i = 0; i < rounds; ++i) to_here.put(i);
  });
  for (int i = 0; i < rounds; ++i) ASSERT_EQ(to_here.get(), i);
  other.join();
}

TEST_F(foreign_wake_test, two_workers_pass_a_ball_in_both_directions) {
  queue<int> there(0);
  queue<int> back(0);
  const int rounds = scaled(10'000);
  std::thread other([&] {
    for (int i = 0; i < rounds; ++i) back.put(there.get() + 1);
  });
  int ball = 0;
  for (int i = 0; i < rounds; ++i) {
    there.put(ball);
    ball = back.get();
  }
  EXPECT_EQ(ball, rounds);
  other.join();
}

TEST_F(foreign_wake_test, a_worker_that_waits_for_a_descriptor_is_woken_too) {
  const pipe_ends pipe = make_pipe();
  event e;
  fiber<ssize_t> reader = spawn([&] {
    char byte;
    return io::read(pipe.reader.get(), &byte, 1, {});
  });
  std::thread other([&] {
    std::this_thread::sleep_for(10ms);
    e.set();
  });
  EXPECT_TRUE(e.wait_for(10s));
  EXPECT_FALSE(reader.ready());
  ASSERT_EQ(::write(pipe.writer.get(), "x", 1), 1);
  EXPECT_EQ(reader.get_for(10s), 1);
  other.join();
}

TEST_F(foreign_wake_test, fibers_of_one_worker_join_those_of_another) {
  for (int round = 0; round < scaled(200); ++round) {
    fiber<int> theirs;
    event is_spawned;
    std::thread other([&] {
      theirs = spawn([] {
        sleep(microseconds(50));
        return 5;
      });
      is_spawned.set();
      theirs.join();
    });
    is_spawned.wait();
    std::vector<fiber<>> joiners;
    for (int i = 0; i < 3; ++i) joiners.push_back(spawn([&] { EXPECT_EQ(theirs.get(), 5); }));
    joinall(joiners);
    other.join();
  }
}

TEST_F(foreign_wake_test, many_threads_wake_one_worker_at_the_same_time) {
  counting_semaphore units(0);
  const int releases = scaled(20'000);
  constexpr int threads_count = 4;
  std::vector<std::thread> threads;
  for (int t = 0; t < threads_count; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < releases; ++i) units.release();
    });
  }
  std::vector<fiber<>> takers;
  for (int f = 0; f < 10; ++f) {
    takers.push_back(spawn([&] {
      for (int i = 0; i < releases * threads_count / 10; ++i) units.acquire();
    }));
  }
  EXPECT_EQ(joinall(takers, 50s), 10u);
  for (auto& t : threads) t.join();
  EXPECT_EQ(units.available(), 0);
}

TEST_F(foreign_wake_test, one_thread_wakes_many_workers) {
  event go;
  std::atomic<int> woken{0};
  std::atomic<int> waiting{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&] {
      std::vector<fiber<>> fibers;
      for (int f = 0; f < 20; ++f) {
        fibers.push_back(spawn([&] {
          ++waiting;
          go.wait();
          ++woken;
        }));
      }
      joinall(fibers);
    });
  }
  EXPECT_TRUE(eventually([&] { return waiting == 120; }));
  go.set();
  for (auto& t : threads) t.join();
  EXPECT_EQ(woken, 120);
}

TEST_F(foreign_wake_test, deadlines_and_foreign_wakes_do_not_disturb_each_other) {
  event e;
  std::atomic<bool> is_over{false};
  std::thread noisy([&] {
    while (!is_over) {
      e.set();
      e.clear();
      std::this_thread::sleep_for(100us);
    }
  });
  std::vector<fiber<>> waiters;
  for (int i = 0; i < 5; ++i) {
    waiters.push_back(spawn([&] {
      for (int n = 0; n < 50; ++n) e.wait_for(1ms);
    }));
  }
  const stopwatch watch;
  sleep(50ms);
  expect_took(watch, 50ms);
  joinall(waiters);
  is_over = true;
  noisy.join();
}

}  // namespace
}  // namespace coir::test
