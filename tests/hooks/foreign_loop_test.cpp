// A loop that runs the fibers of its thread, in a program whose waits are hooked: its own wait has
// to stay one of the thread.
#include "tests/hooks/support.hpp"

#include <coir/clock.hpp>
#include <coir/foreign_loop.hpp>
#include <coir/queue.hpp>

#include <algorithm>
#include <functional>
#include <thread>

#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

namespace {

using namespace coir::testing;
using std::chrono::milliseconds;

int in_ms(std::chrono::nanoseconds limit) {
  return static_cast<int>(
      std::min(std::chrono::ceil<milliseconds>(limit), milliseconds(10'000)).count());
}

int wait_by_poll(int, std::chrono::nanoseconds limit) {
  pollfd own{coir::pollable_fd(), POLLIN, 0};
  return ::poll(&own, 1, in_ms(limit));
}

int wait_by_select(int, std::chrono::nanoseconds limit) {
  const int fd = coir::pollable_fd();
  fd_set readable;
  FD_ZERO(&readable);
  FD_SET(fd, &readable);
  timeval time{in_ms(limit) / 1000, in_ms(limit) % 1000 * 1000};
  return ::select(fd + 1, &readable, nullptr, nullptr, &time);
}

int wait_by_epoll(int epoll, std::chrono::nanoseconds limit) {
  epoll_event event{};
  return ::epoll_wait(epoll, &event, 1, in_ms(limit));
}

class ForeignLoop
    : public ::testing::TestWithParam<std::function<int(int, std::chrono::nanoseconds)>> {
 protected:
  ForeignLoop() {
    epoll_event event{EPOLLIN, {}};
    EXPECT_EQ(0, ::epoll_ctl(epoll_.fd, EPOLL_CTL_ADD, coir::pollable_fd(), &event));
  }

  /// False when the condition has not come in time, or a wait ended in an error.
  bool run_until(const std::function<bool()>& is_over) {
    const auto end = std::chrono::steady_clock::now() + patience;
    while (std::chrono::steady_clock::now() < end) {
      const auto limit = coir::run_once();
      if (is_over()) return true;
      ++rounds_;
      if (GetParam()(epoll_.fd, limit) < 0) return false;
    }
    return false;
  }

  descriptor epoll_{::epoll_create1(EPOLL_CLOEXEC)};
  int rounds_ = 0;
};

std::string name_of_wait(const ::testing::TestParamInfo<ForeignLoop::ParamType>& each) {
  constexpr const char* waits[] = {"poll", "select", "epoll"};
  return waits[each.index];
}

INSTANTIATE_TEST_SUITE_P(Waits, ForeignLoop,
                         ::testing::Values(wait_by_poll, wait_by_select, wait_by_epoll),
                         name_of_wait);

TEST_P(ForeignLoop, SleepsInTheKernelWhileItsFibersWait) {
  pipe_pair pipe;
  auto reader = coir::spawn([&] {
    char byte;
    return ::read(pipe[0], &byte, 1);
  });
  auto writer = coir::spawn([&] {
    for (int i = 0; i < 10; ++i) ::usleep(2000);
    return ::write(pipe[1], "x", 1);
  });
  EXPECT_TRUE(run_until([&] { return reader.ready(); }));
  EXPECT_EQ(1, reader.get());
  EXPECT_EQ(1, writer.get());
  EXPECT_LT(rounds_, 100) << "it spins";
}

TEST_P(ForeignLoop, IsWokenByAnotherThread) {
  coir::queue<int> q;
  auto getter = coir::spawn([&] { return q.get(); });
  std::thread other([&] { q.put(7); });
  EXPECT_TRUE(run_until([&] { return getter.ready(); }));
  EXPECT_EQ(7, getter.get());
  other.join();
}

TEST(ForeignLoopHandler, MayWaitForFibersThatPoll) {
  pipe_pair pipe;
  EXPECT_EQ(std::chrono::nanoseconds::max(), coir::run_once());
  auto waiting = coir::spawn([&] {
    const descriptor epoll{::epoll_create1(EPOLL_CLOEXEC)};
    epoll_event event{EPOLLIN, {}};
    EXPECT_EQ(0, ::epoll_ctl(epoll.fd, EPOLL_CTL_ADD, pipe[0], &event));
    return ::epoll_wait(epoll.fd, &event, 1, 10'000);
  });
  auto writing = coir::spawn([&] { return ::write(pipe[1], "x", 1); });
  EXPECT_EQ(1, waiting.get());
  EXPECT_EQ(1, writing.get());
}

TEST(ForeignLoopHandler, MayWaitAndSendsItsLoopBackToTheFibers) {
  EXPECT_EQ(std::chrono::nanoseconds::max(), coir::run_once());
  coir::sleep(milliseconds(1));  // a handler's wait: the worker does not sleep any more
  pollfd own{coir::pollable_fd(), POLLIN, 0};
  EXPECT_EQ(1, ::poll(&own, 1, 10'000));
  EXPECT_EQ(POLLIN, own.revents);
}

}  // namespace
