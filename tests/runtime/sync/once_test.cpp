// Doing something exactly once.
#include "tests/runtime/support.hpp"
#include "tests/runtime/sync/errors.hpp"

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

namespace coir::test {
namespace {

using once_test = runtime_test;

constinit once_flag flag_of_the_process;

TEST_F(once_test, only_the_first_call_is_made) {
  std::vector<int> calls;
  for (int i = 0; i < 3; ++i) call_once(flag_of_the_process, [&, i] { calls.push_back(i); });
  EXPECT_EQ(calls, (std::vector<int>{0}));
}

TEST_F(once_test, arguments_and_members_are_passed_as_with_std_invoke) {
  struct counter {
    int value = 0;
    void add(std::unique_ptr<int> n, int& times) {
      value += *n;
      ++times;
    }
  } counts;
  int times = 0;
  once_flag flag;
  call_once(flag, &counter::add, counts, std::make_unique<int>(5), std::ref(times));
  call_once(flag, &counter::add, &counts, std::make_unique<int>(5), std::ref(times));
  EXPECT_EQ(counts.value, 5);
  EXPECT_EQ(times, 1);
}

TEST_F(once_test, those_who_come_meanwhile_wait_until_the_call_has_returned) {
  once_flag flag;
  bool is_made = false;
  int calls = 0;
  std::vector<fiber<>> fibers;
  for (int i = 0; i < 10; ++i) {
    fibers.push_back(spawn([&] {
      call_once(flag, [&] {
        ++calls;
        sleep(5ms);
        is_made = true;
      });
      EXPECT_TRUE(is_made);
    }));
  }
  EXPECT_EQ(joinall(fibers, 10s), 10u);
  EXPECT_EQ(calls, 1);
}

TEST_F(once_test, an_exception_leaves_its_call_and_the_longest_waiter_tries_next) {
  once_flag flag;
  std::string order;
  std::vector<fiber<>> fibers;
  for (const char name : {'a', 'b', 'c', 'd'}) {
    fibers.push_back(spawn([&, name] {
      auto call = [&] {
        call_once(flag, [&] {
          order += name;
          yield();
          if (name < 'c') throw std::runtime_error("in vain");
        });
      };
      if (name < 'c') {
        EXPECT_THROW(call(), std::runtime_error);
      } else {
        call();
      }
    }));
  }
  EXPECT_EQ(joinall(fibers, 10s), 4u);
  EXPECT_EQ(order, "abc");
  call_once(flag, [] { FAIL() << "called again"; });
}

TEST_F(once_test, after_an_exception_without_waiters_the_next_comer_tries) {
  once_flag flag;
  EXPECT_THROW(call_once(flag, [] { throw 1; }), int);
  int calls = 0;
  call_once(flag, [&] { ++calls; });
  EXPECT_EQ(calls, 1);
}

TEST_F(once_test, a_killed_caller_passes_its_turn_on) {
  once_flag flag;
  int made = 0;
  fiber<> killed = spawn([&] { call_once(flag, [] { sleep(1h); }); });
  fiber<> next = spawn([&] { call_once(flag, [&] { ++made; }); });
  yield();
  killed.kill();
  EXPECT_TRUE(next.join_for(10s));
  EXPECT_EQ(made, 1);
}

TEST_F(once_test, a_killed_waiter_leaves_the_turn_to_others) {
  once_flag flag;
  event may_fail;
  int made = 0;
  fiber<> caller = spawn([&] {
    EXPECT_THROW(call_once(flag,
                           [&] {
                             may_fail.wait();
                             throw std::runtime_error("in vain");
                           }),
                 std::runtime_error);
  });
  fiber<> killed = spawn([&] {
    call_once(flag, [] { FAIL() << "called after a kill"; });
    FAIL() << "went on after a kill";
  });
  fiber<> next = spawn([&] { call_once(flag, [&] { ++made; }); });
  yield();
  killed.kill();
  may_fail.set();
  EXPECT_EQ(joinall(std::vector{caller, next}, 10s), 2u);
  EXPECT_EQ(made, 1);
}

TEST_F(once_test, a_waiter_killed_when_its_turn_has_come_takes_it_and_passes_it_on) {
  once_flag flag;
  event may_fail;
  int made = 0;
  fiber<> caller = spawn([&] {
    EXPECT_THROW(call_once(flag,
                           [&] {
                             may_fail.wait();
                             throw std::runtime_error("in vain");
                           }),
                 std::runtime_error);
  });
  fiber<> killed = spawn([&] { call_once(flag, [] { sleep(1h); }); });
  fiber<> next = spawn([&] { call_once(flag, [&] { ++made; }); });
  yield();
  may_fail.set();
  caller.join();
  killed.kill();
  EXPECT_TRUE(next.join_for(10s));
  EXPECT_EQ(made, 1);
}

TEST_F(once_test, a_function_that_comes_back_to_its_own_flag_gets_an_error) {
  once_flag flag;
  auto again = [&] { call_once(flag, [&] { call_once(flag, [] {}); }); };
  EXPECT_EQ(error_of(again), std::errc::resource_deadlock_would_occur);
  int calls = 0;
  call_once(flag, [&] { ++calls; });
  EXPECT_EQ(calls, 1);
}

TEST_F(once_test, of_many_threads_one_makes_the_call_and_all_see_it) {
  for (int round = 0; round < scaled(300); ++round) {
    once_flag flag;
    int value = 0;  // written by the call, read by those behind it
    int tries = 0;
    auto work = [&] {
      std::vector<fiber<>> fibers;
      for (int f = 0; f < 3; ++f) {
        fibers.push_back(spawn([&] {
          for (bool has_returned = false; !has_returned;) {
            try {
              call_once(flag, [&] {
                if (++tries < 3) throw std::runtime_error("in vain");
                yield();
                value = 7;
              });
              has_returned = true;
            } catch (const std::runtime_error&) {
            }
          }
          if (value != 7) ADD_FAILURE() << "came back before the call was made";
        }));
      }
      joinall(fibers);
    };
    std::thread one(work);
    std::thread two(work);
    one.join();
    two.join();
    ASSERT_EQ(tries, 3);
  }
}

}  // namespace
}  // namespace coir::test
