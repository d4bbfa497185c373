// Which backend is used, and ten thousand timers on it.
#include "tests/runtime/support.hpp"

#include <algorithm>
#include <cstdlib>
#include <random>
#include <string_view>
#include <thread>

namespace coir::test {
namespace {

using backend_test = runtime_test;

TEST_F(backend_test, it_is_the_one_that_the_environment_asks_for) {
  const char* wanted = std::getenv("COIR_BACKEND");
  const std::string_view got = backend();
  if (!wanted) {
    EXPECT_TRUE(got == "io_uring" || got == "epoll");
  } else {
    EXPECT_EQ(got, std::string_view(wanted) == "epoll" ? "epoll" : "io_uring");
  }
}

TEST_F(backend_test, every_thread_has_a_worker_of_the_same_kind) {
  const std::string here = backend();
  std::string there;
  std::thread([&] { there = backend(); }).join();
  EXPECT_EQ(there, here);
}

TEST_F(backend_test, ten_thousand_sleepers_wake_in_the_order_of_their_deadlines) {
  const int count = scaled(10'000);
  constexpr auto tick =
      std::chrono::nanoseconds(1 << 16);  // deadlines of one tick may change places
  using clock = std::chrono::steady_clock;
  std::minstd_rand random(3);
  std::vector<clock::time_point> wake_order;
  std::vector<fiber<>> fibers;
  clock::time_point start;
  event may_begin;
  int began_late = 0;  // after their deadline: the machine is slow, and their order is another
  for (int i = 0; i < count; ++i) {
    fibers.push_back(spawn([&, offset = microseconds(random() % 500'000)] {
      may_begin.wait();
      const clock::time_point when = start + offset;
      const bool is_late = clock::now() >= when;
      this_fiber::sleep_until(when);
      EXPECT_GE(clock::now(), when);
      if (!is_late) wake_order.push_back(when);
      began_late += is_late;
    }));
  }
  yield();
  start = clock::now() + 200ms;
  may_begin.set();
  EXPECT_EQ(joinall(fibers, 20s), static_cast<std::size_t>(count));
  EXPECT_EQ(wake_order.size() + static_cast<std::size_t>(began_late),
            static_cast<std::size_t>(count));
  EXPECT_LT(began_late, count / 2);
  for (std::size_t i = 1; i < wake_order.size(); ++i) {
    ASSERT_GE(wake_order[i] + tick, wake_order[i - 1]) << "at " << i;
  }
}

TEST_F(backend_test, an_idle_worker_uses_no_processor) {
  const auto used = [] {
    timespec now;
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
  };
  fiber<> sleeper = spawn([] { sleep(200ms); });
  const auto before = used();
  sleeper.join();
  EXPECT_LT(used() - before, 50ms * slowdown);
}

}  // namespace
}  // namespace coir::test
