// A loop that is not coir's drives the fibers of its thread: it knows one descriptor and one
// function, and waits by itself.
#include "runtime/io/io.hpp"
#include "tests/runtime/forking.hpp"
#include "tests/runtime/support.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <thread>

#include <poll.h>
#include <sys/eventfd.h>

namespace coir::test {
namespace {

using std::chrono::nanoseconds;
constexpr nanoseconds unlimited = nanoseconds::max();

/// Waits as a foreign loop would, for no longer than `limit`; true when the descriptor is readable.
bool wait_outside(nanoseconds limit) {
  pollfd own{pollable_fd(), POLLIN, 0};
  const auto ms =
      limit == unlimited ? milliseconds(10'000) : std::chrono::ceil<milliseconds>(limit);
  return ::poll(&own, 1, static_cast<int>(std::min(ms, milliseconds(10'000)).count())) == 1;
}

/// A foreign loop; false when `is_over()` has not come in time, or nothing came for long.
template <class Condition>
bool run_until(Condition is_over) {
  const stopwatch watch;
  for (;;) {
    const nanoseconds limit = run_once();
    if (is_over()) return true;
    if (watch.elapsed() > 20s) return false;
    if (!wait_outside(limit) && limit == unlimited) return false;  // a wake-up was lost
  }
}

/// Calls run_once() until there is nothing to do; what limit it gave.
nanoseconds settle() {
  nanoseconds limit{};
  run_until([&] { return (limit = run_once()) != nanoseconds(0) && !wait_outside(0ns); });
  return limit;
}

class foreign_loop_test : public runtime_test {
 protected:
  void TearDown() override {
    EXPECT_TRUE(run_until([] { return fiber_count() == 0; })) << "the test leaves fibers behind";
  }
};

TEST_F(foreign_loop_test, fibers_run_only_in_run_once) {
  int ran = 0;
  spawn([&] {
    ++ran;
    yield();
    ++ran;
  });
  EXPECT_EQ(ran, 0);
  EXPECT_EQ(run_once(), unlimited);
  EXPECT_EQ(ran, 2);
}

TEST_F(foreign_loop_test, it_says_when_the_next_timer_is_due) {
  fiber<> sleeper = spawn([] { sleep(50ms); });
  const stopwatch watch;
  const nanoseconds limit = settle();
  EXPECT_GT(limit, 0ns);
  EXPECT_LE(limit, 50ms);
  EXPECT_TRUE(run_until([&] { return sleeper.ready(); }));
  expect_took(watch, 50ms);
  EXPECT_EQ(settle(), unlimited);
}

TEST_F(foreign_loop_test, the_descriptor_is_quiet_until_something_comes) {
  const pipe_ends pipe = make_pipe();
  fiber<long> reader = spawn([&] {
    char byte;
    return passed(io::read(pipe.reader.get(), &byte, 1, {}));
  });
  EXPECT_EQ(settle(), unlimited);
  EXPECT_FALSE(wait_outside(1ms));
  ASSERT_EQ(::write(pipe.writer.get(), "x", 1), 1);
  EXPECT_TRUE(wait_outside(10s));
  EXPECT_TRUE(run_until([&] { return reader.ready(); }));
  EXPECT_EQ(reader.get(), 1);
  settle();
  EXPECT_FALSE(wait_outside(1ms));
}

TEST_F(foreign_loop_test, a_fiber_that_waits_for_an_eventfd_is_woken_each_time) {
  const descriptor bell = make_event();
  int rings = 0;
  fiber<> waiting = spawn([&] {
    std::uint64_t count = 0;
    for (; rings < 5; ++rings) EXPECT_EQ(passed(io::read(bell.get(), &count, 8, {})), 8);
  });
  for (int i = 0; i < 5; ++i) {
    settle();
    std::thread([&] { EXPECT_EQ(::eventfd_write(bell.get(), 1), 0); }).join();
    EXPECT_TRUE(wait_outside(10s)) << "ring " << i << " was lost";
    EXPECT_TRUE(run_until([&] { return rings == i + 1; }));
  }
  EXPECT_TRUE(waiting.ready());
}

TEST_F(foreign_loop_test, more_events_than_a_turn_takes_are_all_seen) {
  constexpr std::size_t count = 500;
  std::vector<pipe_ends> pipes;
  for (std::size_t i = 0; i < count; ++i) pipes.push_back(make_pipe());
  std::size_t got = 0;
  for (const pipe_ends& each : pipes) {
    spawn([&got, fd = each.reader.get()] {
      char byte;
      got += passed(io::read(fd, &byte, 1, {})) == 1;
    });
  }
  settle();
  for (const pipe_ends& each : pipes) ASSERT_EQ(::write(each.writer.get(), "x", 1), 1);
  EXPECT_TRUE(run_until([&] { return got == count; })) << got;
}

TEST_F(foreign_loop_test, another_thread_wakes_it_by_the_descriptor) {
  const int rounds = scaled(10'000);
  queue<int> there(0);
  queue<int> back(0);
  std::thread other([&] {
    for (int i = 0; i < rounds; ++i) back.put(there.get() + 1);
  });
  int ball = 0;
  fiber<> player = spawn([&] {
    for (int i = 0; i < rounds; ++i) {
      there.put(ball);
      ball = back.get();
    }
  });
  const stopwatch watch;
  while (!player.ready()) {
    const nanoseconds limit = run_once();
    if (player.ready()) break;
    ASSERT_EQ(limit == unlimited || limit == 0ns, true);
    ASSERT_TRUE(wait_outside(limit) || limit == 0ns) << "lost a wake-up in round " << ball;
    ASSERT_LT(watch.elapsed(), 60s);
  }
  EXPECT_EQ(ball, rounds);
  other.join();
}

TEST_F(foreign_loop_test, files_and_offloaded_work_come_back_by_the_descriptor) {
  const descriptor file = make_file();
  int done = 0;
  for (int i = 0; i < 20; ++i) {
    spawn([&, i] {
      EXPECT_EQ(passed(io::pwrite(file.get(), "abcd", 4, 4 * i, {})), 4);
      std::array<char, 4> text{};
      EXPECT_EQ(passed(io::pread(file.get(), text.data(), 4, 4 * i, {})), 4);
      EXPECT_EQ(offload([&] { return text[3]; }), 'd');
      ++done;
    });
  }
  EXPECT_TRUE(run_until([&] { return done == 20; })) << done;
}

TEST_F(foreign_loop_test, handlers_of_the_loop_may_spawn_wake_and_wait) {
  queue<int> q;
  int sum = 0;
  fiber<> consumer = spawn([&] {
    for (int i = 0; i < 3; ++i) sum += q.get();
  });
  settle();
  q.put(1);
  EXPECT_EQ(sum, 0);
  settle();
  EXPECT_EQ(sum, 1);
  spawn([&] { q.put(10); });
  settle();
  EXPECT_EQ(sum, 11);
  // The main fiber waits while the loop stands still
  fiber<int> slow = spawn([] {
    sleep(10ms);
    return 100;
  });
  q.put(slow.get());
  EXPECT_TRUE(run_until([&] { return consumer.ready(); }));
  EXPECT_EQ(sum, 111);
}

TEST_F(foreign_loop_test, a_fiber_that_never_rests_leaves_the_loop_its_turns) {
  bool stop = false;
  std::size_t turns = 0;
  fiber<> busy = spawn([&] {
    while (!stop) {
      ++turns;
      yield();
    }
  });
  for (int i = 0; i < 3; ++i) EXPECT_EQ(run_once(), 0ns);
  EXPECT_GT(turns, 3u);
  stop = true;
  settle();
  EXPECT_TRUE(busy.ready());
}

TEST_F(foreign_loop_test, a_time_limit_and_a_kill_end_waits) {
  const pipe_ends idle = make_pipe();
  bool timed_out = false;
  spawn([&] {
    try {
      with_timeout(20ms, [&] {
        char byte;
        passed(io::read(idle.reader.get(), &byte, 1, {}));
      });
    } catch (const timeout&) {
      timed_out = true;
    }
  });
  fiber<> doomed = spawn([&] {
    char byte;
    passed(io::read(idle.reader.get(), &byte, 1, {}));
  });
  settle();
  doomed.kill();
  EXPECT_TRUE(run_until([&] { return doomed.ready() && timed_out; }));
}

TEST_F(foreign_loop_test, the_time_in_the_loop_is_sleep_of_the_worker) {
  settle();
  const auto before = metrics();
  wait_outside(30ms);
  const auto during = metrics();
  EXPECT_GE(during.workers.at(0).asleep - before.workers.at(0).asleep, 25ms);
  EXPECT_TRUE(during.workers.at(0).is_asleep);
  yield();
}

TEST_F(foreign_loop_test, a_spawned_fiber_is_refused) {
  fiber<> wrong = spawn([] { EXPECT_THROW(run_once(), std::logic_error); });
  settle();
  EXPECT_TRUE(wrong.ready());
}

TEST_F(foreign_loop_test, a_replay_is_refused) {
  std::thread([] {
    replay({.seed = 1}, [] { EXPECT_THROW(run_once(), std::logic_error); });
  }).join();
}

TEST_F(foreign_loop_test, a_thread_may_end_between_two_calls_while_others_wake_it) {
  for (int i = 0; i < scaled(300); ++i) {
    queue<int> q;
    std::atomic<bool> is_there{false};
    std::thread loop([&] {
      fiber<int> one = spawn([&] { return q.get(); });
      settle();
      is_there = true;
      if (wait_outside(10s) && i % 2 == 0) settle();
    });
    while (!is_there) std::this_thread::yield();
    q.put(i);
    loop.join();
  }
}

TEST_F(foreign_loop_test, the_child_of_a_fork_goes_on_with_a_descriptor_of_its_own) {
  settle();
  EXPECT_EQ(result_of_child([] {
              const pipe_ends pipe = make_pipe();
              fiber<long> one = spawn([&] {
                char byte;
                return passed(io::read(pipe.reader.get(), &byte, 1, {}));
              });
              settle();
              if (wait_outside(0ns) || ::write(pipe.writer.get(), "x", 1) != 1) return 1;
              if (!wait_outside(10s)) return 2;
              return run_until([&] { return one.ready(); }) && one.get() == 1 ? 0 : 3;
            }),
            0);
}

}  // namespace
}  // namespace coir::test
