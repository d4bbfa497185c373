#include "tests/hooks/support.hpp"

#include <thread>
#include <utility>

#include <sys/wait.h>

extern "C" {
int __close(int);
int __dup2(int, int);
}

namespace {

using namespace coir::testing;

/// A fiber that reads one byte from `fd`.
coir::fiber<outcome> reader_of(int fd) {
  return coir::spawn([fd] {
    char byte;
    return call([&] { return ::read(fd, &byte, 1); });
  });
}

void expect_bad_descriptor(coir::fiber<outcome>& waiter) {
  const outcome seen = waiter.get_for(patience);
  EXPECT_EQ(-1, seen.result);
  EXPECT_EQ(EBADF, seen.error);
}

TEST(CloseHooks, AFiberThatReadsWakesWithBadDescriptor) {
  pipe_pair pipe;
  auto reader = reader_of(pipe[0]);
  let_others_park();
  EXPECT_EQ(0, ::close(std::exchange(pipe.fds[0], -1)));
  expect_bad_descriptor(reader);

  socket_pair pair;
  auto receiver = reader_of(pair[0]);
  let_others_park();
  EXPECT_EQ(0, ::__close(std::exchange(pair.fds[0], -1)));
  expect_bad_descriptor(receiver);
}

TEST(CloseHooks, AFiberThatAcceptsWakesWithBadDescriptor) {
  const int server = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr any{};
  any.sa_family = AF_UNIX;
  ASSERT_EQ(0, ::bind(server, &any, sizeof(sa_family_t)));
  ASSERT_EQ(0, ::listen(server, 1));
  auto acceptor =
      coir::spawn([&] { return call([&] { return ::accept(server, nullptr, nullptr); }); });
  let_others_park();
  EXPECT_EQ(0, ::close(server));
  expect_bad_descriptor(acceptor);
}

TEST(CloseHooks, ACloseOnAThreadThatIsNoWorkerWakesTheFiberToo) {
  pipe_pair pipe;
  auto reader = reader_of(pipe[0]);
  let_others_park();
  std::thread closer([&] { EXPECT_EQ(0, ::close(std::exchange(pipe.fds[0], -1))); });
  expect_bad_descriptor(reader);
  closer.join();
}

TEST(CloseHooks, Dup2OverAWaitedDescriptorWakesItsWaiter) {
  pipe_pair old, fresh;
  auto reader = reader_of(old[0]);
  let_others_park();
  EXPECT_EQ(old[0], ::dup2(fresh[0], old[0]));
  expect_bad_descriptor(reader);

  auto second = reader_of(old[0]);
  let_others_park();
  EXPECT_FALSE(second.ready());
  EXPECT_EQ(1, ::write(fresh[1], "x", 1));
  EXPECT_EQ(1, second.get_for(patience).result) << "the number now means the other pipe";
}

TEST(CloseHooks, Dup3OverAWaitedDescriptorWakesItsWaiter) {
  pipe_pair old, fresh;
  auto reader = reader_of(old[0]);
  let_others_park();
  EXPECT_EQ(old[0], ::dup3(fresh[0], old[0], O_CLOEXEC));
  expect_bad_descriptor(reader);
  EXPECT_TRUE(::fcntl(old[0], F_GETFD) & FD_CLOEXEC);
}

TEST(CloseHooks, ADup2ThatReplacesNothingWakesNobody) {
  pipe_pair pipe;
  auto reader = reader_of(pipe[0]);
  let_others_park();
  EXPECT_EQ(pipe[0], ::__dup2(pipe[0], pipe[0]));
  EXPECT_EQ(EBADF, call([&] { return ::dup2(-1, pipe[0]); }).error);
  EXPECT_EQ(EINVAL, call([&] { return ::dup3(pipe[1], pipe[0], O_APPEND); }).error);
  let_others_park();
  EXPECT_FALSE(reader.ready());
  EXPECT_EQ(1, ::write(pipe[1], "x", 1));
  EXPECT_EQ(1, reader.get_for(patience).result);
}

TEST(CloseHooks, CloseRangeWakesAllWaitersInIt) {
  pipe_pair first, second;
  const int low = ::fcntl(first[0], F_DUPFD, 700);
  const int high = ::fcntl(second[0], F_DUPFD, low + 1);
  ASSERT_GE(low, 700);
  ASSERT_GT(high, low);
  auto a = reader_of(low);
  auto b = reader_of(high);
  let_others_park();
  EXPECT_EQ(0, ::close_range(static_cast<unsigned>(low), static_cast<unsigned>(high), 0));
  expect_bad_descriptor(a);
  expect_bad_descriptor(b);
  EXPECT_EQ(EINVAL, call([&] { return ::close_range(9, 8, 0); }).error);
}

TEST(CloseHooks, AVforkChildClosesForItselfOnly) {
  pipe_pair pipe;
  auto reader = reader_of(pipe[0]);
  let_others_park();
  const pid_t child = ::vfork();
  if (child == 0) {
    ::close(pipe[0]);
    ::_exit(0);
  }
  ASSERT_GT(child, 0);
  EXPECT_EQ(child, ::waitpid(child, nullptr, 0));
  let_others_park();
  EXPECT_FALSE(reader.ready());
  EXPECT_EQ(1, ::write(pipe[1], "x", 1));
  EXPECT_EQ(1, reader.get_for(patience).result);
}

TEST(CloseHooks, ClosingWhatIsNoDescriptorFails) {
  EXPECT_EQ(EBADF, call([] { return ::close(-1); }).error);
  EXPECT_EQ(EBADF, call([] { return ::close(999'999); }).error);
}

}  // namespace
