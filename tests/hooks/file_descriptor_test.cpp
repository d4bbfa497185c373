#include "tests/hooks/support.hpp"

#include <csignal>
#include <cstring>
#include <vector>

#include <sys/eventfd.h>
#include <sys/uio.h>
#include <sys/wait.h>

extern "C" {
ssize_t __read(int, void*, size_t);
ssize_t __write(int, const void*, size_t);
ssize_t __pread64(int, void*, size_t, off64_t);
ssize_t __pwrite64(int, const void*, size_t, off64_t);
}

namespace {

using namespace coir::testing;

/// A file without a name.
struct scratch_file : descriptor {
  scratch_file() : descriptor(open_unnamed()) {}
  static int open_unnamed() {
    char name[] = "/tmp/coir-hooks-XXXXXX";
    const int fd = ::mkstemp(name);
    ::unlink(name);
    return fd;
  }
};

TEST(FileDescriptorHooks, TwoFibersBlockedInReadMakeProgressTogether) {
  pipe_pair a, b;
  auto read_one = [](int fd) {
    char byte = 0;
    return ::read(fd, &byte, 1) == 1 ? byte : '!';
  };
  auto first = coir::spawn(read_one, a[0]);
  auto second = coir::spawn(read_one, b[0]);
  let_others_park();
  EXPECT_FALSE(first.ready());
  EXPECT_FALSE(second.ready());
  EXPECT_EQ(1, ::write(b[1], "b", 1));
  EXPECT_EQ('b', second.get_for(patience));
  EXPECT_FALSE(first.ready());
  EXPECT_EQ(1, ::__write(a[1], "a", 1));
  EXPECT_EQ('a', first.get_for(patience));
}

TEST(FileDescriptorHooks, AWriteToAFullPipeParksUntilItIsDrained) {
  pipe_pair pipe;
  const std::vector<char> sent(1 << 20, 'w');
  auto writer = coir::spawn([&] { return ::write(pipe[1], sent.data(), sent.size()); });
  let_others_park();
  EXPECT_FALSE(writer.ready());
  std::size_t got = 0;
  std::vector<char> piece(10'000);
  while (got < sent.size()) {
    const ssize_t n = ::__read(pipe[0], piece.data(), piece.size());
    ASSERT_GT(n, 0);
    got += static_cast<std::size_t>(n);
  }
  EXPECT_EQ(static_cast<ssize_t>(sent.size()), writer.get_for(patience));
}

TEST(FileDescriptorHooks, VectorsGatherAndScatterThroughAPipe) {
  pipe_pair pipe;
  char head[2], tail[8];
  auto reader = coir::spawn([&] {
    const iovec parts[] = {{head, sizeof head}, {tail, sizeof tail}};
    return ::readv(pipe[0], parts, 2);
  });
  let_others_park();
  EXPECT_FALSE(reader.ready());
  char one[] = "abc", two[] = "de";
  const iovec parts[] = {{one, 3}, {two, 2}};
  EXPECT_EQ(5, ::writev(pipe[1], parts, 2));
  EXPECT_EQ(5, reader.get_for(patience));
  EXPECT_EQ("ab", std::string(head, 2));
  EXPECT_EQ("cde", std::string(tail, 3));
}

TEST(FileDescriptorHooks, AnEventfdParksItsReader) {
  descriptor event(::eventfd(0, 0));
  auto reader = coir::spawn([&] {
    std::uint64_t count = 0;
    EXPECT_EQ(8, ::read(event.fd, &count, sizeof count));
    return count;
  });
  let_others_park();
  EXPECT_FALSE(reader.ready());
  const std::uint64_t seven = 7;
  EXPECT_EQ(8, ::write(event.fd, &seven, sizeof seven));
  EXPECT_EQ(7U, reader.get_for(patience));
}

TEST(FileDescriptorHooks, ABlockingPipeSharedWithAChildStaysBlocking) {
  pipe_pair pipe, start;
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {  // waits for the word, then answers through the shared pipe
    char byte;
    const bool ok = ::read(start[0], &byte, 1) == 1 && ::write(pipe[1], "c", 1) == 1;
    ::_exit(ok ? 0 : 1);
  }
  const int flags = ::fcntl(pipe[0], F_GETFL);
  ASSERT_FALSE(flags & O_NONBLOCK);
  auto reader = coir::spawn([&] {
    char byte = 0;
    EXPECT_EQ(1, ::read(pipe[0], &byte, 1));
    return byte;
  });
  let_others_park();
  EXPECT_EQ(flags, ::fcntl(pipe[0], F_GETFL)) << "while a fiber waits";
  EXPECT_EQ(1, ::write(start[1], "g", 1));
  EXPECT_EQ('c', reader.get_for(patience));
  EXPECT_EQ(flags, ::fcntl(pipe[0], F_GETFL));
  int status = -1;
  EXPECT_EQ(child, ::waitpid(child, &status, 0));
  EXPECT_EQ(0, status);
}

TEST(FileDescriptorHooks, ANonBlockingPipeSaysAgain) {
  pipe_pair pipe(O_NONBLOCK);
  char byte;
  const outcome seen = call([&] { return ::read(pipe[0], &byte, 1); });
  EXPECT_EQ(-1, seen.result);
  EXPECT_EQ(EAGAIN, seen.error);
  EXPECT_TRUE(::fcntl(pipe[0], F_GETFL) & O_NONBLOCK);
}

TEST(FileDescriptorHooks, ErrorsArriveInErrno) {
  char byte;
  EXPECT_EQ(EBADF, call([&] { return ::read(-1, &byte, 1); }).error);
  EXPECT_EQ(EBADF, call([&] { return ::fsync(-1); }).error);
  pipe_pair pipe;
  EXPECT_EQ(ESPIPE, call([&] { return ::pread(pipe[0], &byte, 1, 0); }).error);
  EXPECT_EQ(ESPIPE, call([&] {
                      const iovec part{&byte, 1};
                      return ::preadv(pipe[0], &part, 1, 0);
                    }).error);
  auto* const before = std::signal(SIGPIPE, SIG_IGN);
  {
    pipe_pair broken;
    ::close(std::exchange(broken.fds[0], -1));
    EXPECT_EQ(EPIPE, call([&] { return ::write(broken[1], "x", 1); }).error);
  }
  std::signal(SIGPIPE, before);
}

TEST(FileDescriptorHooks, EndOfFileIsZeroAndLeavesErrnoAlone) {
  pipe_pair pipe;
  ::close(std::exchange(pipe.fds[1], -1));
  char byte;
  const outcome seen = call([&] { return ::read(pipe[0], &byte, 1); });
  EXPECT_EQ(0, seen.result);
  EXPECT_EQ(0, seen.error);
}

TEST(FileDescriptorHooks, RegularFilesKeepTheirContentsAndPosition) {
  scratch_file file;
  std::vector<char> text(300'000);
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>('a' + i % 23);
  const auto size = static_cast<ssize_t>(text.size());
  constexpr int marker = 4711;
  errno = marker;
  EXPECT_EQ(size, ::write(file.fd, text.data(), text.size()));
  EXPECT_EQ(0, ::fsync(file.fd));
  EXPECT_EQ(0, ::fdatasync(file.fd));
  EXPECT_EQ(size, ::lseek(file.fd, 0, SEEK_CUR));
  EXPECT_EQ(0, ::lseek(file.fd, 0, SEEK_SET));
  std::vector<char> got(text.size());
  EXPECT_EQ(size, ::read(file.fd, got.data(), got.size()));
  EXPECT_EQ(marker, errno);
  EXPECT_EQ(text, got);
  EXPECT_EQ(0, ::read(file.fd, got.data(), got.size())) << "at the end";
}

TEST(FileDescriptorHooks, PositionedCallsLeaveThePositionAlone) {
  scratch_file file;
  EXPECT_EQ(6, ::pwrite(file.fd, "ABCDEF", 6, 0));
  EXPECT_EQ(2, ::pwrite64(file.fd, "xy", 2, 2));
  EXPECT_EQ(1, ::__pwrite64(file.fd, "!", 1, 5));
  EXPECT_EQ(0, ::lseek(file.fd, 0, SEEK_CUR));
  char data[8];
  EXPECT_EQ(6, ::pread(file.fd, data, sizeof data, 0));
  EXPECT_EQ("ABxyE!", std::string(data, 6));
  EXPECT_EQ(2, ::pread64(file.fd, data, sizeof data, 4));
  EXPECT_EQ("E!", std::string(data, 2));
  EXPECT_EQ(1, ::__pread64(file.fd, data, 1, 1));
  EXPECT_EQ('B', data[0]);
}

TEST(FileDescriptorHooks, PositionedVectorsRunBesideOtherFibers) {
  scratch_file file;
  bystander other;
  let_others_park();
  char one[] = "abc", two[] = "de";
  const iovec out[] = {{one, 3}, {two, 2}};
  EXPECT_EQ(5, ::pwritev(file.fd, out, 2, 10));
  EXPECT_EQ(5, ::pwritev64(file.fd, out, 2, 15));
  char head[4], tail[6];
  const iovec in[] = {{head, sizeof head}, {tail, sizeof tail}};
  EXPECT_EQ(10, ::preadv(file.fd, in, 2, 10));
  EXPECT_EQ("abcd", std::string(head, 4));
  EXPECT_EQ("eabcde", std::string(tail, 6));
  EXPECT_EQ(5, ::preadv64(file.fd, in, 2, 15));
  EXPECT_GT(other.turns(), 0);
}

}  // namespace
