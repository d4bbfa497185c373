#include "tests/runtime/support.hpp"

#include <atomic>
#include <memory>
#include <stdexcept>

namespace coir::test {
namespace {

using assert_switches_test = runtime_test;

void hold_for(milliseconds length) {
  const stopwatch watch;
  while (watch.elapsed() < length) {
  }
}

/// What the assertion in `f` says; empty when it is content.
template <class Function>
std::string complaint_of(Function f) {
  try {
    f();
  } catch (const switch_error& e) {
    return e.what();
  }
  return {};
}

TEST_F(assert_switches_test, code_that_waits_or_yields_passes_and_its_result_comes_out) {
  EXPECT_EQ(assert_switches([] {
              sleep(1ms);
              return 7;
            }),
            7);
  assert_switches([] { yield(); });
  int kept = 0;
  int& result = assert_switches([&]() -> int& {
    yield();
    return kept;
  });
  EXPECT_EQ(&result, &kept);
  auto owned = assert_switches([] {
    yield();
    return std::make_unique<int>(3);
  });
  EXPECT_EQ(*owned, 3);
}

TEST_F(assert_switches_test,
       code_that_never_gives_up_its_worker_is_complained_of_by_name_and_place) {
  std::string text;
  spawn({.name = "stubborn"}, [&] {
    text = complaint_of([] { assert_switches([] { hold_for(1ms); }); });
  }).join();
  EXPECT_TRUE(contains_all({"fiber \"stubborn\" (#", "did not give up its worker in the ",
                            "assert_switches_test.cpp:"})
                  .MatchAndExplain(text))
      << text;
}

TEST_F(assert_switches_test, a_wait_for_what_has_come_already_is_no_switch) {
  event set;
  set.set();
  mutex free;
  EXPECT_NE(complaint_of([&] { assert_switches([&] { set.wait(); }); }), "");
  assert_no_switch([&] {
    set.wait();
    free.lock();
    free.unlock();
  });
}

TEST_F(assert_switches_test, what_the_code_throws_comes_out_and_nothing_is_asserted) {
  EXPECT_THROW(assert_switches([] { throw std::runtime_error("own"); }), std::runtime_error);
  EXPECT_THROW(assert_no_switch([] {
                 yield();
                 throw std::runtime_error("own");
               }),
               std::runtime_error);
}

TEST_F(assert_switches_test, a_stretch_that_is_too_long_is_found_wherever_it_is) {
  for (int where = 0; where < 3; ++where) {
    const std::string text = complaint_of([&] {
      assert_switches(20ms, [&] {
        for (int i = 0; i < 3; ++i) {
          if (i == where) hold_for(40ms);
          if (i < 2) yield();
        }
      });
    });
    EXPECT_TRUE(contains_all({"fiber \"main\" (#0) held its worker for ",
                              " at a stretch, more than ", "20.000 ms"})
                    .MatchAndExplain(text))
        << where << text;
  }
}

TEST_F(assert_switches_test, time_in_which_others_run_or_the_worker_sleeps_is_not_the_fibers) {
  fiber<> other = spawn([] { hold_for(300ms); });
  EXPECT_EQ(assert_switches(200ms,
                            [&] {
                              yield();  // to the one that holds the worker
                              sleep(300ms);
                              other.join();
                              return 1;
                            }),
            1);
}

TEST_F(assert_switches_test, quick_code_need_not_switch_when_there_is_a_limit) {
  EXPECT_EQ(assert_switches(10s, [] { return 2; }), 2);
}

TEST_F(assert_switches_test, switches_straight_to_another_fiber_end_a_stretch_too) {
  // run_first and a context's switch do not go through the run queue
  assert_switches(400ms, [] {
    for (int i = 0; i < 4; ++i) {
      fiber<> first = spawn({.run_first = true}, [] { hold_for(150ms); });
      first.join();
    }
  });
  context<> other([] {
    for (int i = 0; i < 4; ++i) {
      hold_for(150ms);
      context<>::switch_to_parent();
    }
  });
  assert_switches(400ms, [&] {
    for (int i = 0; i < 4; ++i) other.switch_to();
  });
  other.switch_to();  // to its end
}

TEST_F(assert_switches_test, assertions_may_stand_in_each_other) {
  const std::string outer = complaint_of([] {
    assert_switches(20ms, [] {
      hold_for(30ms);  // too long for this one
      assert_switches(10s, [] {
        hold_for(1ms);
        yield();
      });
      hold_for(1ms);
    });
  });
  EXPECT_NE(outer.find("more than 20.000 ms"), std::string::npos) << outer;
  const std::string inner = complaint_of(
      [] { assert_switches(10s, [] { assert_switches(5ms, [] { hold_for(10ms); }); }); });
  EXPECT_NE(inner.find("more than 5.000 ms"), std::string::npos) << inner;
  assert_switches([] { yield(); });
}

TEST_F(assert_switches_test, code_that_must_not_switch_is_complained_of_when_it_does) {
  EXPECT_EQ(assert_no_switch([] { return 4; }), 4);
  fiber<> other = spawn([] {});
  const std::string text = complaint_of([&] { assert_no_switch([&] { other.join(); }); });
  EXPECT_TRUE(contains_all({"fiber \"main\" (#0) gave up its worker in what was called at ",
                            "assert_switches_test.cpp:"})
                  .MatchAndExplain(text))
      << text;
}

TEST_F(assert_switches_test, going_through_a_generator_is_no_switch) {
  generator<int> numbers([](auto& yield_value) {
    for (int i = 0; i < 3; ++i) yield_value(i);
  });
  int sum = 0;
  assert_no_switch([&] {
    for (int n : numbers) sum += n;
  });
  EXPECT_EQ(sum, 3);
}

TEST_F(assert_switches_test, a_kill_in_the_middle_leaves_nothing_behind) {
  fiber<> f = spawn([] {
    try {
      assert_switches(10s, [] { sleep(1h); });
    } catch (const fiber_exit&) {
      yield();  // measured by nobody now
      throw;
    }
  });
  yield();
  f.kill();
  EXPECT_TRUE(f.ready());
}

TEST_F(assert_switches_test, fibers_of_other_workers_do_not_count) {
  workers set(1);
  std::atomic<bool> may_end{false};
  std::atomic<int> turns{0};
  set.spawn([&] {
    while (!may_end) {
      yield();
      ++turns;
    }
  });
  EXPECT_NE(complaint_of([&] {
              assert_switches([&] {
                const int seen = turns;
                const stopwatch watch;
                while (turns < seen + 10 && watch.elapsed() < 10s) {
                }
              });
            }),
            "");
  may_end = true;
  set.join();
}

}  // namespace
}  // namespace coir::test
