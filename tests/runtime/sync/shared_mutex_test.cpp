// A lock for one writer or many readers.
#include "tests/runtime/support.hpp"
#include "tests/runtime/sync/errors.hpp"

#include <atomic>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <thread>
#include <type_traits>

namespace coir::test {
namespace {

using shared_mutex_test = runtime_test;

static_assert(std::is_same_v<shared_timed_mutex, shared_mutex>);

/// Fibers that take the lock one after another, write down who got it, and hold it until told.
class crowd {
 public:
  fiber<> reader(char name) {
    return begun(spawn([this, name] {
      std::shared_lock lock(m);
      inside += name;
      go.wait();
      lock.unlock();
    }));
  }
  fiber<> writer(char name) {
    return begun(spawn([this, name] {
      std::unique_lock lock(m);
      inside += name;
      go.wait();
    }));
  }
  /// Lets those go that are inside, until nobody is left.
  void end(const std::vector<fiber<>>& fibers) {
    go.set();
    EXPECT_EQ(joinall(fibers, 10s), fibers.size());
  }

  shared_mutex m;
  std::string inside;
  event go;

 private:
  static fiber<> begun(fiber<> f) {
    yield();
    return f;
  }
};

/// Whether another fiber could write, or at least read, now.
bool is_free(shared_mutex& m) {
  return spawn([&] { return std::unique_lock(m, std::try_to_lock).owns_lock(); }).get();
}
bool is_free_to_read(shared_mutex& m) {
  return spawn([&] { return std::shared_lock(m, std::try_to_lock).owns_lock(); }).get();
}

TEST_F(shared_mutex_test, many_read_together_and_one_writes_alone) {
  shared_mutex m;
  int reading = 0;
  int reading_max = 0;
  int writing = 0;
  std::vector<fiber<>> fibers;
  for (int i = 0; i < 60; ++i) {
    if (i % 10 == 0) {
      fibers.push_back(spawn([&] {
        std::unique_lock lock(m);
        EXPECT_EQ(++writing, 1);
        EXPECT_EQ(reading, 0);
        yield();
        EXPECT_EQ(reading, 0);
        --writing;
      }));
    } else {
      fibers.push_back(spawn([&] {
        std::shared_lock lock(m);
        EXPECT_EQ(writing, 0);
        reading_max = std::max(reading_max, ++reading);
        yield();
        --reading;
      }));
    }
  }
  EXPECT_EQ(joinall(fibers, 10s), 60u);
  EXPECT_EQ(reading_max, 9);
  EXPECT_TRUE(is_free(m));
}

TEST_F(shared_mutex_test, a_waiting_writer_stops_later_readers) {
  crowd c;
  std::vector<fiber<>> all{c.reader('a'), c.reader('b'), c.writer('C'), c.reader('d')};
  EXPECT_EQ(c.inside, "ab");
  EXPECT_FALSE(is_free_to_read(c.m));
  c.end(all);
  EXPECT_EQ(c.inside, "abCd");
}

TEST_F(shared_mutex_test, when_a_writer_leaves_the_readers_up_to_the_next_writer_go_together) {
  crowd c;
  c.m.lock();
  std::vector<fiber<>> all{c.reader('a'), c.reader('b'), c.reader('c'), c.writer('D'),
                           c.reader('e'), c.writer('F'), c.writer('G'), c.reader('h')};
  EXPECT_EQ(c.inside, "");
  c.m.unlock();
  sleep(1ms);
  EXPECT_EQ(c.inside, "abc");
  c.end(all);
  EXPECT_EQ(c.inside, "abcDeFGh");
}

TEST_F(shared_mutex_test, readers_that_keep_coming_do_not_starve_a_writer_nor_writers_a_reader) {
  shared_mutex m;
  bool writer_had_it = false;
  bool reader_had_it = false;
  int rounds = 0;
  std::vector<fiber<>> fibers;
  for (int i = 0; i < 2; ++i) {
    fibers.push_back(spawn([&] {
      while (!writer_had_it && ++rounds < 10000) {
        std::shared_lock lock(m);
        yield();
      }
    }));
  }
  fibers.push_back(spawn([&] {
    std::lock_guard lock(m);
    writer_had_it = true;
  }));
  joinall(fibers);
  EXPECT_LE(rounds, 6);
  fibers.clear();
  rounds = 0;
  for (int i = 0; i < 2; ++i) {
    fibers.push_back(spawn([&] {
      while (!reader_had_it && ++rounds < 10000) {
        std::lock_guard lock(m);
        yield();
      }
    }));
  }
  fibers.push_back(spawn([&] {
    std::shared_lock lock(m);
    reader_had_it = true;
  }));
  joinall(fibers);
  EXPECT_LE(rounds, 6);
}

TEST_F(shared_mutex_test, trying_says_whether_it_could_be_had_at_once) {
  shared_mutex m;
  EXPECT_TRUE(m.try_lock_shared());
  EXPECT_TRUE(is_free_to_read(m));
  EXPECT_FALSE(m.try_lock());
  m.unlock_shared();
  EXPECT_TRUE(m.try_lock());
  EXPECT_FALSE(m.try_lock());
  EXPECT_FALSE(m.try_lock_shared());
  EXPECT_FALSE(is_free_to_read(m));
  m.unlock();
  EXPECT_TRUE(is_free(m));
}

TEST_F(shared_mutex_test, timed_locks_give_up_after_their_time) {
  shared_mutex m;
  m.lock();
  spawn([&] {
    const stopwatch watch;
    EXPECT_FALSE(m.try_lock_for(0ms));
    EXPECT_FALSE(m.try_lock_for(20ms));
    expect_took(watch, 20ms);
    EXPECT_FALSE(m.try_lock_until(std::chrono::steady_clock::now() + 20ms));
    expect_took(watch, 40ms);
    EXPECT_FALSE(m.try_lock_shared_for(0ms));
    EXPECT_FALSE(m.try_lock_shared_for(20ms));
    expect_took(watch, 60ms);
    EXPECT_FALSE(m.try_lock_shared_until(std::chrono::steady_clock::now() + 20ms));
    expect_took(watch, 80ms);
  }).join();
  m.unlock();
  EXPECT_TRUE(is_free(m));
}

TEST_F(shared_mutex_test, timed_locks_get_it_when_it_is_released_in_time) {
  shared_mutex m;
  m.lock();
  fiber<bool> reader = spawn([&] { return std::shared_lock(m, 10s).owns_lock(); });
  fiber<bool> writer = spawn([&] { return std::unique_lock(m, 10s).owns_lock(); });
  sleep(2ms);
  m.unlock();
  EXPECT_TRUE(reader.get());
  EXPECT_TRUE(writer.get());
  EXPECT_TRUE(is_free(m));
}

TEST_F(shared_mutex_test, a_waiting_writer_that_times_out_lets_the_readers_behind_it_go_on) {
  crowd c;
  std::vector<fiber<>> all{c.reader('a')};
  fiber<bool> writer = spawn([&] { return c.m.try_lock_for(10ms); });
  yield();
  all.push_back(c.reader('b'));
  all.push_back(c.reader('c'));
  all.push_back(c.writer('D'));
  all.push_back(c.reader('e'));
  EXPECT_EQ(c.inside, "a");
  EXPECT_FALSE(writer.get());
  sleep(1ms);
  EXPECT_EQ(c.inside, "abc");
  c.end(all);
  EXPECT_EQ(c.inside, "abcDe");
}

TEST_F(shared_mutex_test, a_waiting_writer_that_is_killed_lets_the_readers_behind_it_go_on) {
  crowd c;
  std::vector<fiber<>> all{c.reader('a')};
  fiber<> writer = c.writer('X');
  all.push_back(c.reader('b'));
  all.push_back(c.reader('c'));
  EXPECT_EQ(c.inside, "a");
  writer.kill();
  yield();
  EXPECT_EQ(c.inside, "abc");
  c.end(all);
  EXPECT_EQ(c.inside, "abc");
  EXPECT_TRUE(is_free(c.m));
}

TEST_F(shared_mutex_test, a_waiting_reader_that_is_killed_or_times_out_is_not_counted) {
  shared_mutex m;
  m.lock();
  fiber<> killed = spawn([&] { m.lock_shared(); });
  fiber<bool> late = spawn([&] { return m.try_lock_shared_for(1ms); });
  yield();
  killed.kill();
  EXPECT_FALSE(late.get());
  m.unlock();
  EXPECT_TRUE(m.try_lock());
  m.unlock();
}

TEST_F(shared_mutex_test, a_fiber_killed_inside_frees_it) {
  shared_mutex m;
  fiber<> reader = spawn([&] {
    std::shared_lock lock(m);
    sleep(1h);
  });
  yield();
  EXPECT_FALSE(m.try_lock());
  reader.kill();
  fiber<> writer = spawn([&] {
    std::unique_lock lock(m);
    sleep(1h);
  });
  yield();
  EXPECT_FALSE(m.try_lock_shared());
  writer.kill();
  EXPECT_TRUE(is_free(m));
}

TEST_F(shared_mutex_test, misuse_is_an_error) {
  shared_mutex m;
  auto unlock = [&] { m.unlock(); };
  auto unlock_shared = [&] { m.unlock_shared(); };
  EXPECT_EQ(error_of(unlock), std::errc::operation_not_permitted);
  EXPECT_EQ(error_of(unlock_shared), std::errc::operation_not_permitted);
  m.lock();
  EXPECT_EQ(error_of(unlock_shared), std::errc::operation_not_permitted);
  spawn([&] { EXPECT_EQ(error_of(unlock), std::errc::operation_not_permitted); }).join();
  std::thread([&] { EXPECT_EQ(error_of(unlock), std::errc::operation_not_permitted); }).join();
  EXPECT_EQ(error_of([&] { m.lock(); }), std::errc::resource_deadlock_would_occur);
  EXPECT_EQ(error_of([&] { m.lock_shared(); }), std::errc::resource_deadlock_would_occur);
  m.unlock();
  m.lock_shared();
  EXPECT_EQ(error_of(unlock), std::errc::operation_not_permitted);
  m.unlock_shared();
  EXPECT_TRUE(is_free(m));
}

TEST_F(shared_mutex_test, fibers_of_several_threads_see_whole_values) {
  shared_mutex m;
  const int rounds = scaled(2000);
  long one = 0;  // guarded by m, like its twin
  long other = 0;
  std::atomic<long> writes{0};
  auto work = [&] {
    std::vector<fiber<>> fibers;
    for (int f = 0; f < 4; ++f) {
      fibers.push_back(spawn([&, f] {
        for (int i = 0; i < rounds; ++i) {
          if ((i + f) % 4 == 0) {
            std::unique_lock lock(m);
            ++one;
            if (i % 32 == 0) yield();
            ++other;
            ++writes;
          } else {
            std::shared_lock lock(m);
            const long seen = one;
            if (i % 32 == 0) yield();
            if (seen != other || seen != one) ADD_FAILURE() << "read while somebody wrote";
          }
        }
      }));
    }
    joinall(fibers);
  };
  std::thread first(work);
  std::thread second(work);
  work();
  first.join();
  second.join();
  EXPECT_EQ(one, writes);
  EXPECT_EQ(writes, 3L * rounds);
  EXPECT_TRUE(is_free(m));
}

TEST_F(shared_mutex_test, deadlines_and_kills_that_race_with_hand_overs_lose_nothing) {
  shared_mutex m;
  const int rounds = scaled(10'000);
  auto work = [&](int seed) {
    std::vector<fiber<>> fibers;
    for (int f = 0; f < 3; ++f) {
      fibers.push_back(spawn([&, f] {
        for (int i = seed + f; i < rounds; ++i) {
          const auto limit = microseconds(i * 7 % 60);
          if (i % 3) {
            std::shared_lock lock(m, limit);
            if (lock && i % 5 == 0) yield();
          } else {
            std::unique_lock lock(m, limit);
            if (lock && i % 5 == 0) yield();
          }
        }
      }));
    }
    for (int i = 0; i < rounds / 20; ++i) {
      fiber<> victim = spawn([&, i] {
        if (i % 2) {
          std::lock_guard lock(m);
          yield();
        } else {
          std::shared_lock lock(m);
          yield();
        }
      });
      if (i % 3) yield();
      victim.kill();
    }
    joinall(fibers);
  };
  std::thread other(work, 1);
  work(0);
  other.join();
  EXPECT_TRUE(is_free(m));
}

}  // namespace
}  // namespace coir::test
