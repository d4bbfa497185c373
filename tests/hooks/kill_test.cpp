#include "tests/hooks/support.hpp"

#include <poll.h>
#include <sys/epoll.h>
#include <time.h>

namespace {

using namespace coir::testing;

/// Kills a fiber inside `wait`: the hooked call must fail with ECANCELED, and fiber_exit must come
/// at the next coir call, after which nothing of the fiber runs.
template <class Wait>
void expect_cancelled(const char* name, Wait wait) {
  SCOPED_TRACE(name);
  outcome seen{0, 0};
  bool has_gone_on = false;
  auto victim = coir::spawn([&] {
    seen = call(wait);
    coir::this_fiber::yield();
    has_gone_on = true;
  });
  let_others_park();
  EXPECT_FALSE(victim.ready());
  victim.kill(false);
  ASSERT_TRUE(victim.join_for(patience));
  EXPECT_EQ(-1, seen.result);
  EXPECT_EQ(ECANCELED, seen.error);
  EXPECT_FALSE(has_gone_on);
  EXPECT_TRUE(victim.successful());
}

TEST(KillInAHook, EndsEveryKindOfWaitWithCancelled) {
  socket_pair pair;
  pipe_pair pipe;
  descriptor events(::epoll_create1(0));
  char byte;
  pollfd one{pipe[0], POLLIN, 0};
  epoll_event event;
  const timespec long_time{100, 0};
  expect_cancelled("recv", [&] { return ::recv(pair[0], &byte, 1, 0); });
  expect_cancelled("read", [&] { return ::read(pipe[0], &byte, 1); });
  expect_cancelled("poll", [&] { return ::poll(&one, 1, -1); });
  expect_cancelled("select", [&] { return ::select(0, nullptr, nullptr, nullptr, nullptr); });
  expect_cancelled("epoll_wait", [&] { return ::epoll_wait(events.fd, &event, 1, -1); });
  expect_cancelled("nanosleep", [&] { return ::nanosleep(&long_time, nullptr); });
  expect_cancelled("usleep", [&] { return ::usleep(100'000'000); });
}

TEST(KillInAHook, ASleepTellsWhatIsLeftOfIt) {
  unsigned left = 0;
  auto victim = coir::spawn([&] { left = ::sleep(1000); });
  let_others_park();
  victim.kill();
  EXPECT_GE(left, 900U);
  EXPECT_LE(left, 1000U);
}

TEST(KillInAHook, LosesNoDataOfTheDescriptor) {
  pipe_pair pipe;
  char byte = 0;
  auto victim = coir::spawn([&] { return ::read(pipe[0], &byte, 1); });
  let_others_park();
  victim.kill();
  EXPECT_EQ(1, ::write(pipe[1], "x", 1));
  EXPECT_EQ(0, byte);
  EXPECT_EQ(1, ::read(pipe[0], &byte, 1));
  EXPECT_EQ('x', byte);
}

}  // namespace
