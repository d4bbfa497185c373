// fork: the child gets a fresh runtime with the one fiber that called fork.
#include "runtime/io/io.hpp"
#include "tests/runtime/forking.hpp"
#include "tests/runtime/support.hpp"

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <thread>

#include <sys/wait.h>

namespace coir::test {
namespace {

using fork_test = fresh_process_test;

#if defined(__SANITIZE_THREAD__)
constexpr bool child_may_make_threads = false;  // the thread sanitizer forbids it
#else
constexpr bool child_may_make_threads = true;
#endif

/// Uses the runtime for what it can; 0 when all of it works.
int use_runtime() {
  const pipe_ends pipe = make_pipe();
  fiber<> writer = spawn([&] {
    sleep(2ms);
    io::write(pipe.writer.get(), "x", 1, {});
  });
  char byte;
  if (io::read(pipe.reader.get(), &byte, 1, {detail::deadline_after(10s)}) != 1) return 11;
  writer.join();
  queue<int> q(1);
  fiber<> putter = spawn([&] {
    for (int i = 0; i < 10; ++i) q.put(i);
  });
  for (int i = 0; i < 10; ++i) {
    if (q.get() != i) return 12;
  }
  if (child_may_make_threads && offload([] { return 7; }) != 7) return 13;
  const descriptor file = make_file();
  if (child_may_make_threads && io::pwrite(file.get(), "abc", 3, 0, {}) != 3) return 14;
  putter.join();
  return 0;
}

TEST_F(fork_test, the_child_of_a_fiber_can_use_the_runtime_and_so_can_the_parent) {
  EXPECT_EXIT(
      {
        fiber<int> f = spawn([] {
          const int child = result_of_child(use_runtime);
          return child ? child : use_runtime();
        });
        leave(f.get());
      },
      testing::ExitedWithCode(0), contains("result", 0));
}

TEST_F(fork_test, the_child_of_the_main_fiber_can_use_the_runtime_and_so_can_the_parent) {
  EXPECT_EXIT(
      {
        backend();
        const int child = result_of_child(use_runtime);
        leave(child ? child : use_runtime());
      },
      testing::ExitedWithCode(0), contains("result", 0));
}

TEST_F(fork_test, a_process_that_forked_before_its_first_use_is_like_any_other) {
  EXPECT_EXIT(leave(result_of_child(use_runtime) + use_runtime()), testing::ExitedWithCode(0),
              contains("result", 0));
}

TEST_F(fork_test, a_time_limit_around_the_fork_holds_in_the_child) {
  EXPECT_EXIT(
      {
        fiber<> other = spawn([] {
          timeout_scope limit(2ms);
          sleep(1h);
        });
        timeout_scope limit(30ms);
        yield();
        const int child = result_of_child([&] {
          try {
            sleep(10s);
          } catch (const timeout& e) {
            return limit.owns(e) ? 0 : 23;
          }
          return 24;
        });
        limit.cancel();
        other.kill();
        leave(child ? child : use_runtime());
      },
      testing::ExitedWithCode(0), contains("result", 0));
}

TEST_F(fork_test, the_other_fibers_do_not_go_on_in_the_child) {
  EXPECT_EXIT(
      {
        int turns = 0;
        bool is_over = false;
        fiber<> ready = spawn([&] {
          while (!is_over) {
            ++turns;
            yield();
          }
        });
        fiber<> asleep = spawn([&] {
          while (!is_over) {
            ++turns;
            sleep(1ms);
          }
        });
        sleep(5ms);
        const int before = turns;
        const int child = result_of_child([&] {
          sleep(20ms);
          return turns == before && fiber_count() == 0 ? 0 : 21;
        });
        sleep(5ms);
        is_over = true;
        joinall(std::vector{ready, asleep});
        leave(child ? child : turns > before ? 0 : 22);
      },
      testing::ExitedWithCode(0), contains("result", 0));
}

TEST_F(fork_test, waits_of_the_parent_survive_the_childs_use_and_end) {
  EXPECT_EXIT(
      {
        const pipe_ends pipe = make_pipe();
        fiber<ssize_t> reader = spawn([&] {
          char byte;
          return io::read(pipe.reader.get(), &byte, 1, {detail::deadline_after(20s)});
        });
        sleep(1ms);
        const int child = result_of_child(use_runtime);
        const bool wrote = ::write(pipe.writer.get(), "x", 1) == 1;
        leave(child ? child : wrote && reader.get() == 1 ? 0 : 23);
      },
      testing::ExitedWithCode(0), contains("result", 0));
}

TEST_F(fork_test, a_lock_held_over_the_fork_works_in_the_child) {
  EXPECT_EXIT(
      {
        mutex m;
        queue<int> q;
        q.put(1);
        m.lock();
        const int child = result_of_child([&] {
          if (spawn([&] { return m.try_lock(); }).get()) return 31;
          m.unlock();
          if (!spawn([&] { return m.try_lock(); }).get()) return 32;
          return q.get() == 1 ? 0 : 33;
        });
        m.unlock();
        leave(child);
      },
      testing::ExitedWithCode(0), contains("result", 0));
}

TEST_F(fork_test, the_child_of_a_process_that_has_offloaded_can_offload) {
  if (!child_may_make_threads) GTEST_SKIP() << "the thread sanitizer forbids threads after a fork";
  EXPECT_EXIT(
      {
        offload([] {});
        leave(result_of_child(use_runtime));
      },
      testing::ExitedWithCode(0), contains("result", 0));
}

TEST_F(fork_test, the_child_of_a_process_with_other_workers_can_use_the_runtime) {
  if (!child_may_make_threads) GTEST_SKIP() << "the thread sanitizer forbids threads after a fork";
  EXPECT_EXIT(
      {
        event is_over;
        event is_waiting;
        std::thread other([&] {
          is_waiting.set();
          is_over.wait();
        });
        is_waiting.wait();
        const int child = result_of_child([] {
          int there = -1;
          std::thread([&] { there = use_runtime(); }).join();
          return there ? there : use_runtime();
        });
        is_over.set();
        other.join();
        leave(child);
      },
      testing::ExitedWithCode(0), contains("result", 0));
}

TEST_F(fork_test, children_of_children_work) {
  EXPECT_EXIT(
      {
        fiber<int> f = spawn([] {
          return result_of_child([] {
            const int own = use_runtime();
            return own ? own : spawn([] { return result_of_child(use_runtime); }).get();
          });
        });
        leave(f.get());
      },
      testing::ExitedWithCode(0), contains("result", 0));
}

TEST_F(fork_test, the_child_of_a_spawned_fiber_ends_when_its_function_returns) {
  const without_leak_check child_exits_from_a_fiber;
  EXPECT_EXIT(
      {
        int turns_of_main = 0;
        fiber<pid_t> f = spawn([] { return ::fork(); });
        f.join();
        ++turns_of_main;
        // Only the parent comes here.
        int status = -1;
        const bool waited = ::waitpid(f.get(), &status, 0) == f.get();
        leave(waited && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : 41);
      },
      testing::ExitedWithCode(0), contains("result", 0));
}

}  // namespace
}  // namespace coir::test
