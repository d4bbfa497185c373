// Each case runs in a fresh process: a process in which a thread was ever started, the thread
// sanitizer's own included, is not judged.
#include "tests/runtime/support.hpp"

#include <cstdio>
#include <thread>

namespace coir::test {
namespace {

#if defined(__SANITIZE_THREAD__)
#define SKIP_UNDER_TSAN() GTEST_SKIP() << "the thread sanitizer has a thread of its own"
#else
#define SKIP_UNDER_TSAN() (void)0
#endif

class deadlock_test : public fresh_process_test {
 protected:
  void SetUp() override {
    SKIP_UNDER_TSAN();
    fresh_process_test::SetUp();
  }
  const without_leak_check no_leaks_;
};

/// Ends the process with 7 when `wait` throws deadlock, whose text goes to stderr.
template <class Wait>
[[noreturn]] void expect_told(Wait wait) {
  try {
    wait();
  } catch (const deadlock& e) {
    std::fputs(e.what(), stderr);
    _exit(7);
  }
  _exit(1);
}

const auto told = testing::ExitedWithCode(7);

TEST_F(deadlock_test, an_event_that_nobody_sets_is_told) {
  EXPECT_EXIT(expect_told([] { event().wait(); }), told,
              contains_all({"nothing can wake", "fiber \"main\" (#0) waits for event at"}));
}

TEST_F(deadlock_test, two_mutexes_taken_crosswise_show_who_holds_what) {
  EXPECT_EXIT(
      expect_told([] {
        mutex a, b;
        fiber<> one = spawn({.name = "one"}, [&] {
          std::lock_guard first(a);
          yield();
          std::lock_guard second(b);
        });
        fiber<> two = spawn({.name = "two"}, [&] {
          std::lock_guard first(b);
          yield();
          std::lock_guard second(a);
        });
        one.join();
      }),
      told,
      contains_all({"fiber \"main\" (#0) waits for the end of fiber \"one\"",
                    "fiber \"one\" (#1) waits for mutex at", "held by fiber \"two\" (#2)",
                    "fiber \"two\" (#2) waits for mutex at", "held by fiber \"one\" (#1)"}));
}

TEST_F(deadlock_test, condition_queue_semaphore_and_pool_are_told) {
  EXPECT_EXIT(expect_told([] {
                mutex m;
                condition_variable condition;
                queue<int> empty;
                counting_semaphore none(0);
                fiber<> waiting = spawn({.name = "waiting"}, [&] {
                  std::unique_lock lock(m);
                  condition.wait(lock);
                });
                fiber<> getting = spawn({.name = "getting"}, [&] { empty.get(); });
                fiber<> acquiring = spawn({.name = "acquiring"}, [&] { none.acquire(); });
                joinall(std::vector{waiting, getting, acquiring});
              }),
              told,
              contains_all({"fiber \"waiting\" (#1) waits for condition variable at",
                            "fiber \"getting\" (#2) waits at queue at",
                            "fiber \"acquiring\" (#3) waits for a unit of semaphore at"}));
}

TEST_F(deadlock_test, a_wait_in_a_generator_is_told_and_ends_it) {
  EXPECT_EXIT(expect_told([] {
                generator<int> still({.name = "still"}, [](auto& yield) { yield(1); });
                still.next();
                event never_set;
                generator<int> g({.name = "numbers"}, [&](auto&) { never_set.wait(); });
                try {
                  g.next();
                } catch (const deadlock&) {
                  if (g.is_done()) throw;
                }
              }),
              told,
              contains_all({"fiber \"main\" (#0) waits for event at", "in generator \"numbers\"",
                            "generator \"still\" (#1) stands at its yield"}));
}

TEST_F(deadlock_test, a_wait_for_a_context_is_told) {
  EXPECT_EXIT(expect_told([] {
                event never_set;
                context<> c({.name = "c"}, [&] { never_set.wait(); });
                c.switch_to();
              }),
              told,
              contains_all({"fiber \"main\" (#0) waits for a switch back from context \"c\" (#1)",
                            "context \"c\" (#1) waits for event at"}));
}

TEST_F(deadlock_test, the_age_of_a_wait_is_shown) {
  EXPECT_EXIT(expect_told([] {
                fiber<> old = spawn({.name = "old"}, [] { event().wait(); });
                sleep(30ms);
                event().wait();
              }),
              told, testing::ContainsRegex("\"old\" .*, for 0\\.[0-9]+ s"));
}

TEST_F(deadlock_test, the_program_may_go_on_after_it) {
  EXPECT_EXIT(
      {
        event e;
        fiber<> f = spawn([&] { e.wait(); });
        try {
          f.join();
        } catch (const deadlock&) {
        }
        e.set();
        f.join();
        _exit(f.successful() ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

TEST_F(deadlock_test, idle_offload_threads_change_nothing) {
  EXPECT_EXIT(expect_told([] {
                offload([] {});
                event().wait();
              }),
              told, "nothing can wake");
}

TEST_F(deadlock_test, a_wait_that_no_exception_may_end_ends_the_process_with_the_graph) {
  EXPECT_EXIT(
      {
        pool p(1);
        p.spawn([] { event().wait(); });
      },
      testing::KilledBySignal(SIGABRT), contains_all({"no exception may end", "waits for event"}));
}

/// Expects that `wait`, which takes longer than it takes to suspect a deadlock, ends well.
#define EXPECT_NO_DEADLOCK(...) \
  EXPECT_EXIT({ __VA_ARGS__ _exit(0); }, testing::ExitedWithCode(0), "")

TEST_F(deadlock_test, a_timer_of_any_fiber_can_end_it) {
  EXPECT_NO_DEADLOCK({
    event e;
    fiber<> f = spawn([&] {
      sleep(150ms);
      e.set();
    });
    e.wait();
  });
}

TEST_F(deadlock_test, a_descriptor_of_any_fiber_can_end_it) {
  EXPECT_NO_DEADLOCK({
    pipe_ends pipe = make_pipe();
    if (fork() == 0) {
      usleep(150'000);
      (void)!::write(pipe.writer.get(), "x", 1);
      _exit(0);
    }
    event e;
    fiber<> f = spawn([&] {
      char byte;
      offload([&] { return ::read(pipe.reader.get(), &byte, 1); });
      e.set();
    });
    e.wait();
  });
}

TEST_F(deadlock_test, another_thread_can_end_it) {
  EXPECT_NO_DEADLOCK({
    event e;
    std::thread other([&] {
      usleep(150'000);
      e.set();
    });
    e.wait();
    other.join();
  });
}

}  // namespace
}  // namespace coir::test
