#include "tests/hooks/support.hpp"

#include <vector>

#include <sched.h>
#include <time.h>

extern "C" {
int __nanosleep(const timespec*, timespec*);
int __sched_yield();
}

namespace {

using namespace coir::testing;

timespec in_ms(long ms) { return {ms / 1000, ms % 1000 * 1'000'000}; }

timespec now_plus_ms(clockid_t clock, long ms) {
  timespec now;
  ::clock_gettime(clock, &now);
  now.tv_nsec += ms * 1'000'000;
  return {now.tv_sec + now.tv_nsec / 1'000'000'000, now.tv_nsec % 1'000'000'000};
}

/// Ten fibers in the same sleep must take as long as one, and no shorter.
template <class Sleep>
void expect_shared(std::chrono::milliseconds length, Sleep sleep) {
  stopwatch watch;
  std::vector<coir::fiber<>> sleepers;
  for (int i = 0; i < 10; ++i) sleepers.push_back(coir::spawn([&] { EXPECT_EQ(0, sleep()); }));
  EXPECT_EQ(10U, coir::joinall(sleepers, patience));
  EXPECT_GE(watch.elapsed(), length - 1ms);
  EXPECT_LT(watch.elapsed(), length * 5) << "the sleeps ran one after another";
}

TEST(SleepHooks, SleepingFibersSleepAtTheSameTime) {
  const timespec length = in_ms(100);
  expect_shared(1000ms, [] { return static_cast<int>(::sleep(1)); });
  expect_shared(100ms, [] { return ::usleep(100'000); });
  expect_shared(100ms, [&] { return ::nanosleep(&length, nullptr); });
  expect_shared(100ms, [&] { return ::__nanosleep(&length, nullptr); });
}

TEST(SleepHooks, ClockNanosleepTakesAllWallClocksBothWays) {
  const timespec length = in_ms(100);
  for (clockid_t clock : {CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME, CLOCK_TAI}) {
    expect_shared(100ms, [&] { return ::clock_nanosleep(clock, 0, &length, nullptr); });
    const timespec when = now_plus_ms(clock, 100);
    expect_shared(100ms, [&] { return ::clock_nanosleep(clock, TIMER_ABSTIME, &when, nullptr); });
  }
}

TEST(SleepHooks, TimeThatHasPassedIsNotSleptFor) {
  const timespec past{1, 0};
  stopwatch watch;
  EXPECT_EQ(0, ::clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &past, nullptr));
  EXPECT_EQ(0, ::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &past, nullptr));
  EXPECT_LT(watch.elapsed(), patience);
}

TEST(SleepHooks, WrongTimesAreRefused) {
  const timespec bad{0, 1'000'000'000};
  EXPECT_EQ(EINVAL, call([&] { return ::nanosleep(&bad, nullptr); }).error);
  const outcome seen = call([&] { return ::clock_nanosleep(CLOCK_MONOTONIC, 0, &bad, nullptr); });
  EXPECT_EQ(EINVAL, seen.result);
  EXPECT_EQ(0, seen.error) << "clock_nanosleep returns its error";
  const timespec none{0, 0};
  EXPECT_EQ(EINVAL, ::clock_nanosleep(12345, 0, &none, nullptr));
}

TEST(SleepHooks, AClockOfProcessorTimeIsWaitedForWhileOthersWork) {
  timespec start;
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
  const timespec length = in_ms(20);
  auto waiter =
      coir::spawn([&] { return ::clock_nanosleep(CLOCK_PROCESS_CPUTIME_ID, 0, &length, nullptr); });
  stopwatch watch;
  while (!waiter.ready() && watch.elapsed() < patience) ::sched_yield();
  ASSERT_TRUE(waiter.ready());
  EXPECT_EQ(0, waiter.get());
  timespec end;
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
  EXPECT_GE((end.tv_sec - start.tv_sec) * 1000 + (end.tv_nsec - start.tv_nsec) / 1'000'000, 19);
}

TEST(SleepHooks, AYieldAndASleepOfZeroGiveTheOthersATurn) {
  const timespec none{0, 0};
  int turns = 0;
  auto give_turn_and_expect = [&](auto give_turn) {
    const int before = turns;
    auto other = coir::spawn([&] { ++turns; });
    EXPECT_EQ(0, give_turn());
    EXPECT_EQ(before + 1, turns);
    other.join();
  };
  give_turn_and_expect([] { return ::sched_yield(); });
  give_turn_and_expect([] { return ::__sched_yield(); });
  give_turn_and_expect([] { return static_cast<int>(::sleep(0)); });
  give_turn_and_expect([] { return ::usleep(0); });
  give_turn_and_expect([&] { return ::nanosleep(&none, nullptr); });
}

}  // namespace
