// Locks in the child of a fork, where only the fiber goes on that called fork: one that was being
// handed to another fiber at that moment, or that others wait for, is usable there.
//
// gevent's other greenlets do go on in a child of gevent.fork; coir's do not, as threads do not. So
// a lock that another fiber really holds stays held in the child, as a pthread_mutex does.
#include "tests/runtime/support.hpp"

#include <cstdio>
#include <functional>
#include <mutex>
#include <shared_mutex>
#include <string>

#include <sys/wait.h>

namespace coir::test {
namespace {

using lock_after_fork_test = fresh_process_test;

/// Forks, runs `in_child` in the child, which ends with its result, and returns how the child
/// ended.
int result_of_child(const std::function<int()>& in_child) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::alarm(20);  // a lock that is not usable would hang it
    ::_exit(in_child());
  }
  int status = -1;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/// Ends the process with `result`; on failure with a line that tells it.
[[noreturn]] void leave(int result) {
  if (result) std::fprintf(stderr, "result %d\n", result);
  ::_exit(result != 0);
}

/// A fiber that waits for the lock and then holds it for ever.
template <class Lockable>
fiber<> waiter_for(Lockable& m) {
  fiber<> f = spawn([&] {
    m.lock();
    event().wait();
  });
  yield();
  return f;
}

/// Whether two fibers can take and leave it in turn, with a wait between.
template <class Lockable>
bool is_usable(Lockable& m) {
  if (!m.try_lock_for(5s)) return false;
  fiber<bool> other = spawn([&] {
    if (!m.try_lock_for(5s)) return false;
    m.unlock();
    return true;
  });
  yield();
  m.unlock();
  return other.get() && m.try_lock() && (m.unlock(), true);
}

template <class Lockable>
int fork_while_it_is_handed_over() {
  Lockable m;
  m.lock();
  fiber<> heir = waiter_for(m);
  fiber<> behind = waiter_for(m);
  m.unlock();  // the heir owns it from here on, and has not gone on
  const int child = result_of_child([&] { return is_usable(m) ? 0 : 51; });
  yield();
  return child ? child : m.try_lock() ? 52 : 0;
}

template <class Lockable>
int fork_while_others_wait() {
  Lockable m;
  m.lock();
  fiber<> one = waiter_for(m);
  fiber<> other = waiter_for(m);
  const int child = result_of_child([&] {
    if (spawn([&] { return m.try_lock(); }).get()) return 53;
    m.unlock();
    return is_usable(m) ? 0 : 54;
  });
  m.unlock();
  yield();
  return child ? child : m.try_lock() ? 55 : 0;
}

TEST_F(lock_after_fork_test, a_mutex_that_was_being_handed_over_is_usable_in_the_child) {
  EXPECT_EXIT(leave(fork_while_it_is_handed_over<mutex>()), testing::ExitedWithCode(0),
              contains("result", 0));
}

TEST_F(lock_after_fork_test, a_recursive_mutex_that_was_being_handed_over_is_usable_in_the_child) {
  EXPECT_EXIT(leave(fork_while_it_is_handed_over<recursive_mutex>()), testing::ExitedWithCode(0),
              contains("result", 0));
}

TEST_F(lock_after_fork_test, a_shared_mutex_that_was_being_handed_over_is_usable_in_the_child) {
  EXPECT_EXIT(leave(fork_while_it_is_handed_over<shared_mutex>()), testing::ExitedWithCode(0),
              contains("result", 0));
}

TEST_F(lock_after_fork_test, a_lock_that_the_parents_fibers_wait_for_is_usable_in_the_child) {
  EXPECT_EXIT(leave(fork_while_others_wait<mutex>()), testing::ExitedWithCode(0),
              contains("result", 0));
  EXPECT_EXIT(leave(fork_while_others_wait<recursive_mutex>()), testing::ExitedWithCode(0),
              contains("result", 0));
  EXPECT_EXIT(leave(fork_while_others_wait<shared_mutex>()), testing::ExitedWithCode(0),
              contains("result", 0));
}

TEST_F(lock_after_fork_test, a_lock_that_another_fiber_holds_stays_held_in_the_child) {
  EXPECT_EXIT(
      {
        mutex m;
        mutex passed_on;
        passed_on.lock();
        fiber<> holder = waiter_for(m);
        fiber<> had_it_handed_over = waiter_for(passed_on);
        passed_on.unlock();
        yield();
        leave(result_of_child([&] { return m.try_lock() || passed_on.try_lock() ? 56 : 0; }));
      },
      testing::ExitedWithCode(0), contains("result", 0));
}

TEST_F(lock_after_fork_test, units_notifications_and_turns_do_not_go_to_fibers_of_the_parent) {
  EXPECT_EXIT(
      {
        counting_semaphore units(0);
        mutex m;
        condition_variable changed;
        once_flag flag;
        fiber<> acquirer = spawn([&] { units.acquire(); });
        fiber<> sleeper = spawn([&] {
          std::unique_lock lock(m);
          changed.wait(lock);
        });
        fiber<> caller = spawn([&] { call_once(flag, [] { event().wait(); }); });
        fiber<> next_caller = spawn([&] { call_once(flag, [] {}); });
        yield();
        leave(result_of_child([&] {
          units.release();
          if (!units.try_acquire()) return 57;
          fiber<bool> notified = spawn([&] {
            std::unique_lock lock(m);
            return changed.wait_for(lock, 5s) == std::cv_status::no_timeout;
          });
          yield();
          changed.notify_one();
          if (!notified.get()) return 58;
          bool is_called = false;
          call_once(flag, [&] { is_called = true; });
          return is_called ? 0 : 59;
        }));
      },
      testing::ExitedWithCode(0), contains("result", 0));
}

}  // namespace
}  // namespace coir::test
