// Sets of workers as users of the system: their threads begin, are named and bound, end and leave
// nothing behind; what happens when the system refuses; and forks.
#include <coir/workers.hpp>

#include "tests/runtime/forking.hpp"
#include "tests/runtime/seccomp.hpp"
#include "tests/runtime/support.hpp"
#include "tests/runtime/task/gate.hpp"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <new>
#include <set>
#include <stdexcept>
#include <system_error>
#include <thread>

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

namespace coir::test {
namespace {

using workers_life_test = runtime_test;
using workers_limits_test = fresh_process_test;

class workers_fork_test : public fresh_process_test {
 protected:
  void SetUp() override {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "the child may find locks of the sanitizer held";
#endif
    fresh_process_test::SetUp();
  }
};

std::size_t entries_of(const char* directory) {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(directory)) ++count;
  return count;
}

std::size_t thread_count() { return entries_of("/proc/self/task"); }
/// The kernel may list a thread for a moment after it was joined.
bool are_threads_back_to(std::size_t count) {
  return eventually([count] { return thread_count() <= count; });
}
std::size_t descriptor_count() { return entries_of("/proc/self/fd"); }

/// In KiB.
std::size_t mapped_memory() {
  std::size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * 4;
}

std::string name_of_thread() {
  char name[16] = "";
  ::pthread_getname_np(::pthread_self(), name, sizeof name);
  return name;
}

std::set<int> cpus_of_thread() {
  cpu_set_t usable;
  CPU_ZERO(&usable);
  EXPECT_EQ(::sched_getaffinity(0, sizeof usable, &usable), 0);
  std::set<int> found;
  for (int i = 0; i < CPU_SETSIZE; ++i) {
    if (CPU_ISSET(i, &usable)) found.insert(i);
  }
  return found;
}

/// Uses all that a set has.
void use(workers& set) {
  std::atomic<int> done{0};
  for (int i = 0; i < 20; ++i) {
    set.spawn([&] {
      sleep(microseconds(50));
      ++done;
    });
  }
  for (auto& f : set.spawn_on_each([] { yield(); })) f.join();
  set.join();
  EXPECT_EQ(done, 20);
}

TEST_F(workers_life_test, the_threads_are_there_from_the_construction_to_the_destruction) {
  const std::size_t before = thread_count();
  {
    workers set(4);
    EXPECT_EQ(thread_count(), before + 4);
    use(set);
    EXPECT_EQ(thread_count(), before + 4);
  }
  EXPECT_TRUE(are_threads_back_to(before));
}

TEST_F(workers_life_test, fifty_sets_in_a_row_leave_no_thread_descriptor_or_memory) {
  // The first ones fill what is kept for later: worker records, stacks of threads
  for (int i = 0; i < 5; ++i) {
    workers set(4);
    use(set);
  }
  const std::size_t threads = thread_count();
  const std::size_t descriptors = descriptor_count();
  const std::size_t memory = mapped_memory();
  for (int i = 0; i < 50; ++i) {
    workers set(static_cast<std::size_t>(i % 4 + 1));
    use(set);
  }
  EXPECT_TRUE(are_threads_back_to(threads));
  EXPECT_EQ(descriptor_count(), descriptors);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  // Less than what one worker with a few stacks takes, for each set
  EXPECT_LE(mapped_memory(), memory + 50 * 256);
#else
  (void)memory;
#endif
}

TEST_F(workers_life_test, several_sets_at_a_time_come_and_go) {
  const std::size_t threads = thread_count();
  {
    std::vector<std::unique_ptr<workers>> sets;
    for (int i = 0; i < 12; ++i) {
      sets.push_back(std::make_unique<workers>(static_cast<std::size_t>(i % 3 + 1)));
      use(*sets.back());
      if (i % 3 == 2) sets.erase(sets.begin());
    }
    std::vector<fiber<>> fibers;
    for (auto& set : sets) fibers.push_back(set->spawn([] { sleep(1ms); }));
    EXPECT_EQ(joinall(fibers, 10s), fibers.size());
  }
  EXPECT_TRUE(are_threads_back_to(threads));
}

TEST_F(workers_life_test, many_threads_make_sets_at_a_time) {
  const std::size_t before = thread_count();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < 10; ++i) {
        workers set(2);
        use(set);
      }
    });
  }
  for (auto& t : threads) t.join();
  EXPECT_TRUE(are_threads_back_to(before));
}

TEST_F(workers_life_test, a_set_that_nobody_used_goes_as_well) {
  const std::size_t threads = thread_count();
  const std::size_t descriptors = descriptor_count();
  for (int i = 0; i < 10; ++i) workers set(3);
  EXPECT_TRUE(are_threads_back_to(threads));
  EXPECT_EQ(descriptor_count(), descriptors);
}

TEST_F(workers_life_test, threads_are_named_after_the_set_and_their_number) {
  workers plain(2);
  EXPECT_EQ(plain.spawn_on(0, name_of_thread).get(), "coir-0");
  EXPECT_EQ(plain.spawn_on(1, name_of_thread).get(), "coir-1");
  workers named({.count = 2, .name = "a name that is long"});
  EXPECT_EQ(named.spawn_on(0, name_of_thread).get(), "a name that i-0");
  EXPECT_EQ(named.spawn_on(1, name_of_thread).get(), "a name that i-1");
  workers many({.count = 11, .name = "a name that is long"});
  EXPECT_EQ(many.spawn_on(10, name_of_thread).get(), "a name that -10");
}

TEST_F(workers_life_test, unpinned_workers_may_use_what_their_maker_may) {
  workers set(2);
  const std::set<int> usable = cpus_of_thread();
  for (auto& f : set.spawn_on_each(cpus_of_thread)) EXPECT_EQ(f.get(), usable);
}

TEST_F(workers_life_test, pinned_workers_are_bound_to_one_processor_each_in_turn) {
  const std::set<int> usable = cpus_of_thread();
  workers set({.count = usable.size() + 1, .pin = true});
  std::vector<std::set<int>> bound;
  for (auto& f : set.spawn_on_each(cpus_of_thread)) bound.push_back(f.get());
  std::set<int> all;
  for (const auto& each : bound) {
    ASSERT_EQ(each.size(), 1u);
    all.insert(*each.begin());
  }
  EXPECT_EQ(all, usable);
  EXPECT_EQ(bound.front(), bound.back());
  EXPECT_EQ(cpus_of_thread(), usable) << "the maker is left as it was";
}

TEST_F(workers_life_test, the_processors_that_were_named_are_used) {
  const int last = *cpus_of_thread().rbegin();
  workers set({.count = 3, .cpus = {last}});
  for (auto& f : set.spawn_on_each(cpus_of_thread)) EXPECT_EQ(f.get(), std::set{last});
}

TEST_F(workers_life_test, processors_that_are_not_there_are_an_error_that_leaves_nothing) {
  const std::size_t threads = thread_count();
  const std::size_t descriptors = descriptor_count();
  const int good = *cpus_of_thread().begin();
  for (const std::vector<int>& cpus :
       {std::vector{CPU_SETSIZE - 1}, std::vector{CPU_SETSIZE}, std::vector{1'000'000},
        std::vector{good, CPU_SETSIZE - 1}, std::vector{-1}, std::vector{-7}}) {
    try {
      workers set({.count = 3, .cpus = cpus});
      ADD_FAILURE() << "processor " << cpus.back() << " was had";
    } catch (const std::system_error& e) {
      EXPECT_EQ(e.code(), std::errc::invalid_argument) << e.what();
      EXPECT_TRUE(std::string(e.what()).find(std::to_string(cpus.back())) != std::string::npos)
          << e.what();
    }
    EXPECT_TRUE(are_threads_back_to(threads));
    EXPECT_EQ(descriptor_count(), descriptors);
  }
}

TEST_F(workers_life_test, more_than_the_most_there_can_be_is_an_error) {
  EXPECT_THROW(workers(worker_options::count_max + 1), std::invalid_argument);
  EXPECT_THROW(workers({.count = std::size_t(-1)}), std::invalid_argument);
}

TEST_F(workers_life_test, a_set_beyond_one_word_of_the_idle_set_works) {
  workers set(70);
  std::atomic<int> done{0};
  for (auto& f : set.spawn_on_each([&] { ++done; })) f.join();
  EXPECT_EQ(done, 70);
  for (int i = 0; i < 1000; ++i) set.spawn([&] { ++done; });
  EXPECT_TRUE(set.join_for(20s));
  EXPECT_EQ(done, 1070);
}

/// How many workers a set has that was not told, with COIR_WORKERS as it is.
std::size_t size_unless_said() { return workers().size(); }

TEST_F(workers_limits_test, COIR_WORKERS_says_how_many_unless_the_program_does) {
  EXPECT_EXIT(
      {
        ::setenv("COIR_WORKERS", "3", 1);
        _exit(size_unless_said() == 3 && workers(2).size() == 2 ? 0 : 1);
      },
      testing::ExitedWithCode(0), contains("coir:", 0));
}

TEST_F(workers_limits_test, without_COIR_WORKERS_there_are_as_many_as_usable_processors) {
  EXPECT_EXIT(
      {
        ::unsetenv("COIR_WORKERS");
        const std::size_t all = cpus_of_thread().size();
        const bool has_all = size_unless_said() == all;
        ::setenv("COIR_WORKERS", "", 1);
        const bool has_all_again = size_unless_said() == all;
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(static_cast<unsigned>(*cpus_of_thread().begin()), &one);
        ::sched_setaffinity(0, sizeof one, &one);
        _exit(has_all && has_all_again && size_unless_said() == 1 ? 0 : 1);
      },
      testing::ExitedWithCode(0), contains("coir:", 0));
}

TEST_F(workers_limits_test, a_wrong_COIR_WORKERS_is_reported_and_passed_over) {
  for (const char* wrong : {"0", "-1", "many", "3x", "1025", "99999999999999999999999", " "}) {
    EXPECT_EXIT(
        {
          ::setenv("COIR_WORKERS", wrong, 1);
          _exit(size_unless_said() == cpus_of_thread().size() ? 0 : 1);
        },
        testing::ExitedWithCode(0), contains_all({"COIR_WORKERS=", wrong, "1 to 1024"}));
  }
}

/// Lets the process map `bytes` more than it has now.
void limit_memory(std::size_t bytes) {
  const rlimit limit{mapped_memory() * 1024 + bytes, RLIM_INFINITY};
  if (::setrlimit(RLIMIT_AS, &limit) != 0) _exit(3);
}

/// Expects that a set cannot be made, and leaves nothing; returns what was said.
std::string refusal_of_a_set(std::size_t count) {
  const std::size_t threads = thread_count();
  std::string what;
  try {
    workers set(count);
    std::fprintf(stderr, "the set was made\n");
    _exit(5);
  } catch (const std::system_error& e) {
    what = e.what();
  } catch (const std::bad_alloc&) {
    what = "coir had no memory for words either";
  }
  std::fprintf(stderr, "refused: %s\n", what.c_str());
  if (!are_threads_back_to(threads)) _exit(6);
  return what;
}

/// Ends the process, with success if a set can be made and used.
[[noreturn]] void leave_after_use_of_a_set() {
  workers set(2);
  int result = 0;
  for (int i = 0; i < 10; ++i) result += set.spawn([] { return 1; }).get();
  _exit(result == 10 ? 0 : 7);
}

[[noreturn]] void make_a_set_without_descriptors() {
  std::thread([] {}).join();  // with the first one a sanitizer may start a thread of its own
  backend();
  const std::size_t descriptors = descriptor_count();
  rlimit kept;
  ::getrlimit(RLIMIT_NOFILE, &kept);
  const rlimit few{descriptors + 2, kept.rlim_max};  // what looks at /proc needs one, too
  ::setrlimit(RLIMIT_NOFILE, &few);
  refusal_of_a_set(8);
  if (descriptor_count() != descriptors) _exit(8);
  ::setrlimit(RLIMIT_NOFILE, &kept);
  leave_after_use_of_a_set();
}

TEST_F(workers_limits_test, without_descriptors_for_its_reactors_a_set_is_an_error) {
  EXPECT_EXIT(make_a_set_without_descriptors(), testing::ExitedWithCode(0),
              contains("refused: coir"));
}

TEST_F(workers_limits_test, without_threads_a_set_is_an_error) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the thread sanitizer needs threads of its own";
#endif
  EXPECT_EXIT(
      {
        backend();
        if (!fail_system_call_with(SYS_clone3, EAGAIN)) _exit(3);
        refusal_of_a_set(3);
        const bool goes_on = spawn([] { return 5; }).get() == 5;
        _exit(goes_on ? 0 : 4);
      },
      testing::ExitedWithCode(0), contains_all({"refused: coir: cannot start", "ulimit -u"}));
}

[[noreturn]] void make_a_set_without_memory() {
  backend();
  limit_memory(100 << 20);  // some threads fit, not all
  refusal_of_a_set(200);
  const rlimit none{RLIM_INFINITY, RLIM_INFINITY};
  ::setrlimit(RLIMIT_AS, &none);
  leave_after_use_of_a_set();
}

TEST_F(workers_limits_test, when_memory_ends_among_the_threads_a_set_is_an_error) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers map more than any limit leaves";
#endif
  EXPECT_EXIT(make_a_set_without_memory(), testing::ExitedWithCode(0), contains("refused: coir"));
}

/// Spawns until nothing fits any more; all must end, some of them failed.
void spawn_without_memory(bool on_one) {
  backend();
  workers set(2);
  event go;
  std::atomic<int> ran{0};
  const int count = 2000;
  std::vector<fiber<>> fibers;
  fibers.reserve(static_cast<std::size_t>(count));
  use(set);
  limit_memory(64 << 20);
  for (int i = 0; i < count; ++i) {
    auto wait = [&] {
      go.wait();
      ++ran;
    };
    fibers.push_back(on_one ? set.spawn_on(1, wait) : set.spawn(wait));
  }
  sleep(20ms);
  go.set();
  if (joinall(fibers, 30s) != fibers.size()) _exit(1);
  int failed = 0;
  for (auto& f : fibers) {
    if (f.successful()) continue;
    ++failed;
    try {
      f.get();
      _exit(2);
    } catch (const std::system_error& e) {
      if (e.code() != std::errc::not_enough_memory) _exit(9);
    }
  }
  set.join();
  const bool goes_on = set.spawn([] { return 5; }).get() == 5;
  std::fprintf(stderr, "%d ran, %d failed\n", ran.load(), failed);
  _exit(failed > 0 && ran > 10 && ran + failed == count && goes_on ? 0 : 10);
}

TEST_F(workers_limits_test, without_memory_for_a_stack_the_fiber_fails_and_the_others_go_on) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers map more than any limit leaves";
#endif
  for (const bool on_one : {false, true}) {
    EXPECT_EXIT(spawn_without_memory(on_one), testing::ExitedWithCode(0),
                contains_all({"cannot begin", "coir: no memory for the stack"}));
  }
}

/// What a child finds of its parent's set; 0 when all is as it should be.
int look_at_left_behind(workers& set) {
  for (int i = 0; i < 2; ++i) {
    try {
      i ? (void)set.spawn([] {}) : (void)set.spawn_on(0, [] {});
      return 11;
    } catch (const std::logic_error&) {
    }
  }
  try {
    (void)set.spawn_on_each([] {});
    return 11;
  } catch (const std::logic_error&) {
  }
  set.join();
  if (!set.join_for(0ms)) return 12;
  set.kill(false);
  set.kill();
  if (!set.kill_for(1s)) return 13;
  if (set.size() != 2) return 14;
  if (set.least_loaded() > 1) return 17;
  if (workers::current()) return 15;
  if (workers::current_number() != -1) return 16;
  if (spawn([] { return 3; }).get() != 3) return 18;
  return 0;
}

/// Makes a set and uses it; 0 when that works.
int use_a_set() {
  workers set(2);
  int sum = 0;
  for (int i = 0; i < 10; ++i) sum += set.spawn([i] { return i; }).get();
  set.join();
  return sum == 45 ? 0 : 21;
}

TEST_F(workers_fork_test, the_child_of_the_maker_has_a_set_without_threads_and_can_make_its_own) {
  EXPECT_EXIT(
      {
        workers set(2);
        set.spawn([] { sleep(1ms); });
        event go;
        fiber<int> waiting = set.spawn([&] {
          go.wait();
          return 4;
        });
        const int child = result_of_child([&] {
          const int found = look_at_left_behind(set);
          return found ? found : use_a_set();
        });
        go.set();
        const bool goes_on = waiting.get() == 4 && set.spawn([] { return 5; }).get() == 5;
        set.join();
        leave(child ? child : goes_on ? 0 : 31);
      },
      testing::ExitedWithCode(0), contains("result", 0));
}

TEST_F(workers_fork_test, the_child_of_a_fiber_of_the_set_is_no_worker_of_it) {
  EXPECT_EXIT(
      {
        workers set(2);
        event go;
        fiber<> other = set.spawn([&] { go.wait(); });
        fiber<int> forker = set.spawn([&] {
          return result_of_child([&] {
            const int found = look_at_left_behind(set);
            return found ? found : use_a_set();
          });
        });
        const int child = forker.get();
        go.set();
        set.join();
        leave(child ? child : set.spawn([] { return 5; }).get() == 5 ? 0 : 31);
      },
      testing::ExitedWithCode(0), contains("result", 0));
}

TEST_F(workers_fork_test, a_child_may_destroy_its_parents_set) {
  EXPECT_EXIT(
      {
        auto set = std::make_unique<workers>(2);
        event go;
        set->spawn([&] { go.wait(); });
        for (int i = 0; i < 100; ++i) set->spawn([] { yield(); });
        const int child = result_of_child([&] {
          set.reset();
          return use_a_set();
        });
        go.set();
        set.reset();
        leave(child);
      },
      testing::ExitedWithCode(0), contains("result", 0));
}

TEST_F(workers_fork_test, forks_while_the_workers_are_busy_do_no_harm) {
  EXPECT_EXIT(
      {
        workers set(2);
        std::atomic<bool> is_over{false};
        std::atomic<long> turns{0};
        for (int i = 0; i < 8; ++i) {
          set.spawn([&] {
            while (!is_over) {
              set.spawn([&] { ++turns; });
              sleep(microseconds(50));
            }
          });
        }
        int child = 0;
        for (int i = 0; i < 10 && child == 0; ++i) {
          sleep(2ms);
          child = result_of_child([&] {
            const int found = look_at_left_behind(set);
            return found ? found : use_a_set();
          });
        }
        const long before = turns;
        sleep(20ms);
        const bool goes_on = turns > before;
        is_over = true;
        set.join();
        leave(child ? child : goes_on ? 0 : 32);
      },
      testing::ExitedWithCode(0), contains("result", 0));
}

}  // namespace
}  // namespace coir::test
