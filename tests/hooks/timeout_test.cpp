// A deadline over a scope must never cross the frames of C code. The code below stands for a C
// library: it only knows what its calls return.
#include <coir/timeout.hpp>

#include "tests/hooks/support.hpp"

#include <optional>

#include <poll.h>
#include <time.h>

namespace {

using namespace coir::testing;

/// Waits for a byte as a C library would; its own error code, or 0.
int c_library_wait(int fd) noexcept {
  pollfd one{fd, POLLIN, 0};
  const int ready = ::poll(&one, 1, 100'000);
  return ready < 0 ? errno : 0;
}

TEST(TimeoutInAHook, ComesBackAsErrnoAndIsThrownByTheNextWait) {
  pipe_pair pipe;
  int error = 0;
  coir::timeout_scope limit(5ms);
  error = c_library_wait(pipe[0]);
  EXPECT_EQ(ETIMEDOUT, error);
  try {
    coir::sleep(1h);
    FAIL();
  } catch (const coir::timeout& e) {
    EXPECT_TRUE(limit.owns(e));
  }
}

TEST(TimeoutInAHook, AllFurtherCallsFailUntilControlIsInCppAgain) {
  pipe_pair pipe;
  coir::timeout_scope limit(5ms);
  char byte;
  const timespec long_time{100, 0};
  EXPECT_EQ(ETIMEDOUT, c_library_wait(pipe[0]));
  EXPECT_EQ(-1, ::read(pipe[0], &byte, 1));
  EXPECT_EQ(ETIMEDOUT, errno);
  EXPECT_EQ(-1, ::nanosleep(&long_time, nullptr));
  EXPECT_EQ(ETIMEDOUT, errno);
  EXPECT_THROW(limit.check(), coir::timeout);
  ASSERT_EQ(1, ::write(pipe[1], "x", 1));
  EXPECT_EQ(1, ::read(pipe[0], &byte, 1)) << "once thrown it is over";
}

TEST(TimeoutInAHook, TheEndOfTheScopeThrowsWhatOnlyCCodeHasSeen) {
  pipe_pair pipe;
  int error = 0;
  EXPECT_THROW(
      {
        coir::timeout_scope limit(5ms);
        error = c_library_wait(pipe[0]);
      },
      coir::timeout);
  EXPECT_EQ(ETIMEDOUT, error);
  EXPECT_THROW(coir::with_timeout(5ms, [&] { return c_library_wait(pipe[0]); }), coir::timeout);
  EXPECT_EQ(-1, coir::with_timeout(
                    5ms, [&] { return c_library_wait(pipe[0]); }, -1));
  EXPECT_FALSE(coir::move_on_after(5ms, [&] { c_library_wait(pipe[0]); }));
}

TEST(TimeoutInAHook, AnExceptionThatIsUnderWayIsNotReplaced) {
  pipe_pair pipe;
  try {
    coir::timeout_scope limit(5ms);
    if (c_library_wait(pipe[0]) != 0) throw 42;
    FAIL();
  } catch (int value) {
    EXPECT_EQ(42, value);
  }
}

TEST(TimeoutInAHook, CallsThatNeedNotWaitSucceedMeanwhile) {
  socket_pair pair;
  coir::timeout_scope limit(1ms);
  EXPECT_EQ(ETIMEDOUT, c_library_wait(pair[0]));
  ASSERT_EQ(1, ::send(pair[1], "x", 1, 0));
  char byte;
  EXPECT_EQ(1, ::recv(pair[0], &byte, 1, 0));
  limit.cancel();
}

}  // namespace
