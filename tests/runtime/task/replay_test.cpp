#include "tests/runtime/support.hpp"

#include <atomic>
#include <cstdlib>
#include <set>
#include <stdexcept>
#include <thread>

namespace coir::test {
namespace {

using replay_test = runtime_test;

/// The order in which ten fibers take three turns each.
std::string order_of(std::uint64_t seed) {
  std::string order;
  replay({.seed = seed}, [&] {
    std::vector<fiber<>> fibers;
    for (char name = 'a'; name < 'k'; ++name) {
      fibers.push_back(spawn([&order, name] {
        for (int turn = 0; turn < 3; ++turn) {
          order += name;
          yield();
        }
      }));
    }
    joinall(fibers);
  });
  return order;
}

TEST_F(replay_test, the_same_seed_gives_the_same_order_and_others_give_others) {
  std::set<std::string> orders;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const std::string order = order_of(seed);
    EXPECT_EQ(order.size(), 30u);
    EXPECT_EQ(order, order_of(seed));
    orders.insert(order);
  }
  EXPECT_GT(orders.size(), 15u);
}

TEST_F(replay_test, an_hour_of_sleep_takes_no_time) {
  const stopwatch watch;
  replay({}, [] {
    const auto start = clock::now();
    sleep(1h);
    EXPECT_GE(clock::now() - start, 1h);
    EXPECT_LE(clock::now() - start, 1h + 1ms);
  });
  expect_prompt(watch);
}

TEST_F(replay_test, deadlines_come_in_their_order_whatever_the_seed) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    std::vector<int> order;
    replay({.seed = seed}, [&] {
      std::vector<fiber<>> fibers;
      for (const int minutes : {5, 1, 4, 2, 3}) {
        fibers.push_back(spawn([&order, minutes] {
          sleep(std::chrono::minutes(minutes));
          order.push_back(minutes);
        }));
      }
      joinall(fibers);
    });
    EXPECT_EQ(order, (std::vector<int>{1, 2, 3, 4, 5})) << "seed " << seed;
  }
}

TEST_F(replay_test, a_time_limit_ends_a_wait_at_its_virtual_time) {
  replay({.seed = 3}, [] {
    queue<int> empty;
    const auto start = clock::now();
    EXPECT_FALSE(empty.get_for(10min).has_value());
    EXPECT_FALSE(move_on_after(1h, [&] { empty.get(); }));
    EXPECT_GE(clock::now() - start, 1h + 10min);
    this_fiber::sleep_until(clock::now() + 24h);
    EXPECT_GE(clock::now() - start, 25h + 10min);
  });
}

TEST_F(replay_test, who_waits_by_looking_again_comes_to_an_end) {
  replay({}, [] {
    const auto end = clock::now() + 1ms;
    while (clock::now() < end) yield();
  });
}

/// Two fibers that add to an account without a lock over the wait in between.
void deposit_twice() {
  int account = 0;
  auto deposit = [&account] {
    const int before = account;
    if (before == 0) yield();
    account = before + 1;
  };
  fiber<> one = spawn(deposit);
  fiber<> other = spawn([&] {
    yield();
    yield();
    deposit();
  });
  one.join();
  other.join();
  if (account != 2) throw std::runtime_error("a deposit was lost");
}

TEST_F(replay_test, exploring_finds_a_race_and_its_seed_repeats_it) {
  std::uint64_t found = 0;
  bool is_found = false;
  for (std::uint64_t seed = 0; seed < 200 && !is_found; ++seed) {
    try {
      replay({.seed = seed}, deposit_twice);
    } catch (const std::runtime_error&) {
      found = seed;
      is_found = true;
    }
  }
  ASSERT_TRUE(is_found);
  for (int i = 0; i < 5; ++i)
    EXPECT_THROW(replay({.seed = found}, deposit_twice), std::runtime_error);
  testing::internal::CaptureStderr();
  EXPECT_THROW(explore_schedules(2000, deposit_twice), std::runtime_error);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("COIR_SEED="), std::string::npos);
}

TEST_F(replay_test, exploring_runs_every_seed_while_nothing_fails) {
  std::set<std::uint64_t> seeds;
  EXPECT_TRUE(explore_schedules(10, [&] { seeds.insert(current_replay().seed); }));
  EXPECT_EQ(seeds.size(), 10u);
}

TEST_F(replay_test, exploring_stops_when_it_is_told_of_a_failure) {
  int runs = 0;
  testing::internal::CaptureStderr();
  EXPECT_FALSE(explore_schedules(
      10, [&] { ++runs; }, [&] { return runs == 4; }));
  EXPECT_NE(testing::internal::GetCapturedStderr().find("COIR_SEED="), std::string::npos);
  EXPECT_EQ(runs, 4);
}

TEST_F(replay_test, exploring_with_the_seed_of_the_environment_is_one_run) {
  ::setenv("COIR_SEED", "77", 1);
  std::vector<std::uint64_t> seeds;
  EXPECT_TRUE(explore_schedules(10, [&] { seeds.push_back(current_replay().seed); }));
  ::unsetenv("COIR_SEED");
  EXPECT_EQ(seeds, std::vector<std::uint64_t>{77});
}

/// Fibers on several workers that use what they share, sleep, and are killed.
void use_everything(std::size_t count, std::uint64_t seed) {
  workers crew(count);
  mutex lock;
  queue<int> items(3);
  channel<int> numbers;
  counting_semaphore units(2);
  std::uint64_t dice = seed;
  auto roll = [&dice](std::uint64_t sides) {
    dice = dice * 6364136223846793005u + 1442695040888963407u;
    return (dice >> 33) % sides;
  };
  std::vector<fiber<>> fibers;
  for (int i = 0; i < 20; ++i) {
    fibers.push_back(crew.spawn([&] {
      for (int step = 0; step < 10; ++step) {
        const milliseconds limit(roll(50));
        switch (roll(6)) {
          case 0: {
            const std::lock_guard guard(lock);
            yield();
            break;
          }
          case 1:
            items.put_for(1, limit);
            break;
          case 2:
            items.get_for(limit);
            break;
          case 3:
            sleep(limit * 100);
            break;
          case 4:
            move_on_after(limit, [&] { roll(2) ? numbers.send(1) : void(numbers.recv()); });
            break;
          default:
            if (units.try_acquire_for(limit)) {
              yield();
              units.release();
            }
        }
      }
    }));
  }
  for (const auto& f : fibers) {
    if (roll(4) == 0) f.kill(false);
  }
  joinall(fibers);
}

TEST_F(replay_test, sets_of_workers_take_part_and_the_same_seed_gives_the_same_trace) {
  std::set<std::uint64_t> traces;
  for (std::size_t count = 1; count <= 8; ++count) {
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
      const auto run = [&] { return replay({.seed = seed}, [&] { use_everything(count, seed); }); };
      const replay_report once = run();
      EXPECT_EQ(once, run()) << count << " workers, seed " << seed;
      EXPECT_GT(once.steps, 100u);
      traces.insert(once.trace);
    }
  }
  EXPECT_EQ(traces.size(), 32u);
}

TEST_F(replay_test, only_one_worker_runs_at_a_time) {
  replay({.seed = 5}, [] {
    workers crew(4);
    int running = 0;  // no atomic: the baton brings it along
    std::vector<fiber<>> fibers;
    for (int i = 0; i < 100; ++i) {
      fibers.push_back(crew.spawn([&running] {
        EXPECT_EQ(++running, 1);
        --running;
        yield();
        EXPECT_EQ(++running, 1);
        --running;
      }));
    }
    joinall(fibers);
  });
}

TEST_F(replay_test, fibers_begin_on_all_workers) {
  replay({.seed = 1}, [] {
    workers crew(3);
    std::set<int> numbers;
    std::vector<fiber<>> fibers;
    for (int i = 0; i < 100; ++i)
      fibers.push_back(crew.spawn([&] { numbers.insert(workers::current_number()); }));
    joinall(fibers);
    EXPECT_EQ(numbers.size(), 3u);
  });
}

TEST_F(replay_test, the_clock_stands_while_offloaded_work_is_under_way) {
  replay({}, [] {
    bool is_done = false;
    fiber<> worker = spawn([&] {
      EXPECT_EQ(offload([] {
                  std::this_thread::sleep_for(20ms);
                  return 7;
                }),
                7);
      is_done = true;
    });
    sleep(1h);
    EXPECT_TRUE(is_done);
    worker.join();
  });
}

TEST_F(replay_test, fibers_talk_over_sockets) {
  replay({.seed = 9}, [] {
    socket_ends ends = make_socket_pair();
    fiber<> echo = spawn([&] {
      char byte;
      while (::read(ends.other.get(), &byte, 1) < 0 && errno == EAGAIN) yield();
      EXPECT_EQ(::write(ends.other.get(), &byte, 1), 1);
    });
    for (const int fd : {ends.one.get(), ends.other.get()})
      ::fcntl(fd, F_SETFL, flags_of(fd) | O_NONBLOCK);
    EXPECT_EQ(::write(ends.one.get(), "x", 1), 1);
    echo.join();
    char byte = 0;
    EXPECT_EQ(::read(ends.one.get(), &byte, 1), 1);
    EXPECT_EQ(byte, 'x');
  });
}

TEST_F(replay_test, what_is_thrown_comes_out_and_the_next_replay_works) {
  EXPECT_THROW(replay({}, [] { throw std::out_of_range("so"); }), std::out_of_range);
  EXPECT_GT(replay({}, [] { yield(); }).steps, 0u);
}

TEST_F(replay_test, there_is_one_at_a_time_and_it_begins_without_fibers) {
  replay({}, [] {
    fiber<> other = spawn([] { sleep(1s); });
    EXPECT_THROW(replay({}, [] {}), std::logic_error);
    other.join();
  });
  fiber<> other = spawn([] { sleep(1ms); });
  EXPECT_THROW(replay({}, [] {}), std::logic_error);
  other.join();
}

TEST_F(replay_test, outside_of_one_nothing_is_known_and_time_is_real) {
  EXPECT_EQ(current_replay(), replay_report{});
  const auto before = std::chrono::steady_clock::now();
  const auto now = clock::now();
  EXPECT_GE(now, before);
  EXPECT_LE(now, std::chrono::steady_clock::now());
  const stopwatch watch;
  sleep(20ms);
  expect_took(watch, 20ms);
}

TEST_F(replay_test, workers_that_come_after_one_sleep_by_the_real_clock) {
  replay({}, [] {
    workers crew(2);
    crew.spawn([] { sleep(24h); }).join();
  });
  workers crew(2);
  const stopwatch watch;
  for (std::size_t i = 0; i < 2; ++i) crew.spawn_on(i, [] { sleep(10ms); });
  EXPECT_TRUE(crew.join_for(10s));
  expect_took(watch, 10ms);
}

TEST_F(replay_test, on_the_real_clock_sleeps_take_their_time) {
  const stopwatch watch;
  replay({.seed = 2, .virtual_clock = false}, [] { sleep(30ms); });
  expect_took(watch, 30ms);
}

using replay_process_test = fresh_process_test;

TEST_F(replay_process_test, the_environment_can_ask_for_one) {
  EXPECT_EXIT(
      {
        ::setenv("COIR_SEED", "12", 1);
        ::setenv("COIR_CLOCK", "virtual", 1);
        const stopwatch watch;
        sleep(1h);
        const bool is_right = current_replay().seed == 12 && watch.elapsed() < 1min;
        explore_schedules(1, [] { sleep(1h); });  // takes its place
        _exit(is_right ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace coir::test
