#include "tests/hooks/support.hpp"

#include <csignal>
#include <memory>
#include <vector>

#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

extern "C" {
int __poll(pollfd*, nfds_t, int);
int __select(int, fd_set*, fd_set*, fd_set*, timeval*);
}

namespace {

using namespace coir::testing;

/// The program's own epoll descriptor, watching one other.
struct epoll_set : descriptor {
  explicit epoll_set(int watched) : descriptor(::epoll_create1(0)) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = watched;
    EXPECT_EQ(0, ::epoll_ctl(fd, EPOLL_CTL_ADD, watched, &event));
  }
};

TEST(PollHooks, AFiberInPollLetsAnotherWorkUntilItsDescriptorIsReady) {
  pipe_pair pipe;
  auto waiter = coir::spawn([&] {
    pollfd fds[] = {{pipe[0], POLLIN, 0}, {-1, POLLIN, 0}};
    const int ready = ::poll(fds, 2, -1);
    EXPECT_EQ(POLLIN, fds[0].revents);
    EXPECT_EQ(0, fds[1].revents);
    return ready;
  });
  let_others_park();
  EXPECT_FALSE(waiter.ready());
  EXPECT_EQ(1, ::write(pipe[1], "x", 1));
  EXPECT_EQ(1, waiter.get_for(patience));
}

TEST(PollHooks, PollEndsAfterItsTimeWhileOthersRun) {
  pipe_pair pipe;
  pollfd one{pipe[0], POLLIN, 0};
  EXPECT_EQ(0, ::poll(&one, 1, 0));
  bystander other;
  stopwatch watch;
  EXPECT_EQ(0, ::__poll(&one, 1, 30));
  EXPECT_GE(watch.elapsed(), 29ms);
  EXPECT_GT(other.turns(), 3);
  EXPECT_EQ(0, ::poll(nullptr, 0, 5)) << "a sleep";
}

TEST(PollHooks, TenReadySocketsAreReportedByOneCall) {
  std::vector<std::unique_ptr<socket_pair>> pairs;
  std::vector<pollfd> fds;
  for (int i = 0; i < 10; ++i) {
    pairs.push_back(std::make_unique<socket_pair>());
    fds.push_back({(*pairs.back())[0], POLLIN, 0});
    ASSERT_EQ(1, ::write((*pairs.back())[1], "x", 1));
  }
  EXPECT_EQ(10, ::poll(fds.data(), fds.size(), 1000));
}

TEST(PollHooks, PpollChecksItsTimeLimit) {
  pipe_pair pipe;
  pollfd one{pipe[0], POLLIN, 0};
  const timespec bad{0, 1'000'000'000}, good{0, 5'000'000};
  EXPECT_EQ(EINVAL, call([&] { return ::ppoll(&one, 1, &bad, nullptr); }).error);
  EXPECT_EQ(0, ::ppoll(&one, 1, &good, nullptr));
}

TEST(PollHooks, SelectReportsAllThreeSetsAndTheTimeThatIsLeft) {
  socket_pair pair;
  ASSERT_EQ(1, ::write(pair[1], "x", 1));
  fd_set in, out, except;
  for (fd_set* set : {&in, &out, &except}) {
    FD_ZERO(set);
    FD_SET(pair[0], set);
  }
  timeval limit{1000, 0};
  EXPECT_EQ(2, ::select(pair[0] + 1, &in, &out, &except, &limit));
  EXPECT_TRUE(FD_ISSET(pair[0], &in));
  EXPECT_TRUE(FD_ISSET(pair[0], &out));
  EXPECT_FALSE(FD_ISSET(pair[0], &except));
  EXPECT_GE(limit.tv_sec, 900);
  EXPECT_LE(limit.tv_sec, 1000);
}

TEST(PollHooks, SelectEndsAfterItsTimeWithEmptySets) {
  pipe_pair pipe;
  bystander other;
  fd_set in;
  FD_ZERO(&in);
  FD_SET(pipe[0], &in);
  timeval limit{0, 30'000};
  stopwatch watch;
  EXPECT_EQ(0, ::__select(pipe[0] + 1, &in, nullptr, nullptr, &limit));
  EXPECT_GE(watch.elapsed(), 29ms);
  EXPECT_FALSE(FD_ISSET(pipe[0], &in));
  EXPECT_EQ(0, limit.tv_sec);
  EXPECT_EQ(0, limit.tv_usec);
  EXPECT_GT(other.turns(), 3);

  limit = {0, 5'000};
  EXPECT_EQ(0, ::select(0, nullptr, nullptr, nullptr, &limit)) << "a sleep";
  limit = {-1, 0};
  EXPECT_EQ(EINVAL, call([&] { return ::select(0, nullptr, nullptr, nullptr, &limit); }).error);
}

TEST(PollHooks, SelectTakesDescriptorsPastFdSetsize) {
  pipe_pair pipe;
  descriptor far(::fcntl(pipe[0], F_DUPFD, FD_SETSIZE + 500));
  fd_set sets[2];  // one set of twice the length
  FD_ZERO(&sets[0]);
  FD_ZERO(&sets[1]);
  fd_mask& word = sets[far.fd / FD_SETSIZE].fds_bits[far.fd % FD_SETSIZE / NFDBITS];
  const auto bit = static_cast<fd_mask>(1UL << (far.fd % NFDBITS));
  word = bit;
  auto waiter = coir::spawn([&] { return ::select(far.fd + 1, sets, nullptr, nullptr, nullptr); });
  let_others_park();
  EXPECT_FALSE(waiter.ready());
  EXPECT_EQ(1, ::write(pipe[1], "x", 1));
  EXPECT_EQ(1, waiter.get_for(patience));
  EXPECT_EQ(bit, word);
}

TEST(PollHooks, SelectOfAClosedDescriptorFails) {
  int closed;
  { closed = descriptor(::dup(0)).fd; }
  fd_set in;
  FD_ZERO(&in);
  FD_SET(closed, &in);
  EXPECT_EQ(EBADF,
            call([&] { return ::select(closed + 1, &in, nullptr, nullptr, nullptr); }).error);
}

TEST(PollHooks, PselectWaitsAndLeavesItsTimeLimitAlone) {
  pipe_pair pipe;
  fd_set in;
  FD_ZERO(&in);
  FD_SET(pipe[0], &in);
  const timespec limit{0, 20'000'000};
  stopwatch watch;
  EXPECT_EQ(0, ::pselect(pipe[0] + 1, &in, nullptr, nullptr, &limit, nullptr));
  EXPECT_GE(watch.elapsed(), 19ms);
}

TEST(PollHooks, AllFormsOfEpollWaitParkUntilAnEventComes) {
  pipe_pair pipe;
  epoll_set set(pipe[0]);
  epoll_event event{};
  const timespec soon{0, 5'000'000};
  EXPECT_EQ(0, ::epoll_wait(set.fd, &event, 1, 5));
  EXPECT_EQ(0, ::epoll_pwait(set.fd, &event, 1, 5, nullptr));
  EXPECT_EQ(0, ::epoll_pwait2(set.fd, &event, 1, &soon, nullptr));
  EXPECT_EQ(EINVAL, call([&] { return ::epoll_wait(set.fd, &event, 0, 5); }).error);
  auto waiter = coir::spawn([&] {
    epoll_event got{};
    const int count = ::epoll_wait(set.fd, &got, 1, -1);
    EXPECT_EQ(pipe[0], got.data.fd);
    return count;
  });
  let_others_park();
  EXPECT_FALSE(waiter.ready());
  EXPECT_EQ(1, ::write(pipe[1], "x", 1));
  EXPECT_EQ(1, waiter.get_for(patience));
  EXPECT_EQ(1, ::epoll_pwait2(set.fd, &event, 1, nullptr, nullptr));
}

volatile std::sig_atomic_t handled = 0;

/// Blocks SIGUSR1 in this thread and counts it in `handled`, as programs do that wait for it with a
/// signal mask.
class SignalMask : public testing::Test {
 protected:
  SignalMask() {
    handled = 0;
    sigset_t usr1;
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &usr1, &before_);
    handler_before_ = std::signal(SIGUSR1, [](int) { handled = handled + 1; });
    pthread_sigmask(SIG_BLOCK, nullptr, &open_);
    sigdelset(&open_, SIGUSR1);
  }
  ~SignalMask() override {
    std::signal(SIGUSR1, SIG_IGN);  // drops one that is still pending
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    std::signal(SIGUSR1, handler_before_);
  }

  /// Runs `wait`, which lets SIGUSR1 in, in a fiber; the signal must end it with EINTR, and stay
  /// blocked otherwise.
  template <class Wait>
  void expect_interrupted(Wait wait) {
    handled = 0;
    auto waiter = coir::spawn([&] { return call(wait); });
    let_others_park();
    EXPECT_FALSE(waiter.ready());
    ::kill(::getpid(), SIGUSR1);
    EXPECT_EQ(0, handled) << "the signal is blocked while other fibers run";
    const outcome seen = waiter.get_for(patience);
    EXPECT_EQ(-1, seen.result);
    EXPECT_EQ(EINTR, seen.error);
    EXPECT_EQ(1, handled);
    sigset_t now;
    pthread_sigmask(SIG_BLOCK, nullptr, &now);
    EXPECT_EQ(1, sigismember(&now, SIGUSR1));
  }

  sigset_t before_, open_;
  sighandler_t handler_before_;
  pipe_pair pipe_;
};

TEST_F(SignalMask, PpollIsInterrupted) {
  expect_interrupted([&] {
    pollfd one{pipe_[0], POLLIN, 0};
    return ::ppoll(&one, 1, nullptr, &open_);
  });
}

TEST_F(SignalMask, PselectIsInterrupted) {
  expect_interrupted([&] {
    fd_set in;
    FD_ZERO(&in);
    FD_SET(pipe_[0], &in);
    return ::pselect(pipe_[0] + 1, &in, nullptr, nullptr, nullptr, &open_);
  });
  expect_interrupted([&] { return ::pselect(0, nullptr, nullptr, nullptr, nullptr, &open_); });
}

TEST_F(SignalMask, EpollPwaitIsInterrupted) {
  epoll_set set(pipe_[0]);
  epoll_event event;
  expect_interrupted([&] { return ::epoll_pwait(set.fd, &event, 1, -1, &open_); });
  expect_interrupted([&] { return ::epoll_pwait2(set.fd, &event, 1, nullptr, &open_); });
}

TEST_F(SignalMask, AReadyDescriptorGoesBeforeASignal) {
  ASSERT_EQ(1, ::write(pipe_[1], "x", 1));
  ::kill(::getpid(), SIGUSR1);
  pollfd one{pipe_[0], POLLIN, 0};
  EXPECT_EQ(1, ::ppoll(&one, 1, nullptr, &open_));
  EXPECT_EQ(POLLIN, one.revents);
  fd_set in;
  FD_ZERO(&in);
  FD_SET(pipe_[0], &in);
  EXPECT_EQ(1, ::pselect(pipe_[0] + 1, &in, nullptr, nullptr, nullptr, &open_));
  EXPECT_TRUE(FD_ISSET(pipe_[0], &in));
  epoll_set set(pipe_[0]);
  epoll_event event;
  EXPECT_EQ(1, ::epoll_pwait(set.fd, &event, 1, -1, &open_));
  EXPECT_EQ(0, handled);
  EXPECT_EQ(EINTR, call([&] { return ::ppoll(nullptr, 0, nullptr, &open_); }).error);
  EXPECT_EQ(1, handled);
}

TEST_F(SignalMask, AMaskWithoutASignalTimesOut) {
  const timespec soon{0, 5'000'000};
  pollfd one{pipe_[0], POLLIN, 0};
  EXPECT_EQ(0, ::ppoll(&one, 1, &soon, &open_));
  EXPECT_EQ(0, ::pselect(0, nullptr, nullptr, nullptr, &soon, &open_));
  epoll_set set(pipe_[0]);
  epoll_event event;
  EXPECT_EQ(0, ::epoll_pwait(set.fd, &event, 1, 5, &open_));
}

}  // namespace
