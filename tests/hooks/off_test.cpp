#include "tests/hooks/support.hpp"

#include <coir/hooks.hpp>

#include <thread>

#include <time.h>

namespace {

using namespace coir::testing;

const timespec short_time{0, 20'000'000};

/// True when a fiber that is ready runs while the caller is in `wait`.
template <class Wait>
bool lets_others_run(Wait wait) {
  bool has_run = false;
  auto other = coir::spawn([&] { has_run = true; });
  wait();
  const bool has_run_meanwhile = has_run;
  other.join();
  return has_run_meanwhile;
}

void nap() { EXPECT_EQ(0, ::nanosleep(&short_time, nullptr)); }

TEST(OffScope, MakesTheCallsOfItsFiberBlock) {
  EXPECT_TRUE(lets_others_run(nap));
  {
    coir::hooks::off straight;
    EXPECT_FALSE(lets_others_run(nap));
    {
      coir::hooks::off nested;
      EXPECT_FALSE(lets_others_run(nap));
    }
    EXPECT_FALSE(lets_others_run(nap));
  }
  EXPECT_TRUE(lets_others_run(nap));
}

TEST(OffScope, DoesNotConcernOtherFibers) {
  pipe_pair pipe;
  coir::event is_open, may_close;
  auto scoped = coir::spawn([&] {
    coir::hooks::off straight;
    is_open.set();
    may_close.wait();
  });
  is_open.wait();
  auto reader = coir::spawn([&] {
    char byte;
    return ::read(pipe[0], &byte, 1);
  });
  let_others_park();
  EXPECT_FALSE(reader.ready()) << "it parks: its calls are cooperative";
  auto second_scope = coir::spawn([&] {
    coir::hooks::off straight;
    may_close.set();
    scoped.join();  // the older scope closes first
    EXPECT_FALSE(lets_others_run(nap));
  });
  EXPECT_TRUE(second_scope.join_for(patience));
  EXPECT_EQ(1, ::write(pipe[1], "x", 1));
  EXPECT_EQ(1, reader.get_for(patience));
}

TEST(OffAFiber, CallsGoStraightAndMakeNoWorker) {
  pipe_pair pipe;
  outcome seen{0, 0};
  std::thread plain([&] {
    coir::hooks::off without_effect;
    EXPECT_EQ(0, ::nanosleep(&short_time, nullptr));
    EXPECT_EQ(1, ::write(pipe[1], "x", 1));
    char byte;
    EXPECT_EQ(1, ::read(pipe[0], &byte, 1));
    seen = call([&] { return ::read(-1, &byte, 1); });
  });
  plain.join();
  EXPECT_EQ(-1, seen.result);
  EXPECT_EQ(EBADF, seen.error);
}

TEST(OffAFiber, ABlockedCallIsACancellationPoint) {
  pipe_pair pipe;
  bool has_unwound = false;
  pthread_t thread;
  struct context {
    int fd;
    bool& has_unwound;
  } argument{pipe[0], has_unwound};
  auto body = [](void* p) -> void* {
    struct unwinding {
      bool& flag;
      ~unwinding() { flag = true; }
    } on_end{static_cast<context*>(p)->has_unwound};
    char byte;
    const ssize_t n = ::read(static_cast<context*>(p)->fd, &byte, 1);
    ADD_FAILURE() << "read returned " << n;
    return nullptr;
  };
  ASSERT_EQ(0, pthread_create(&thread, nullptr, body, &argument));
  ASSERT_EQ(0, pthread_cancel(thread));
  void* result = nullptr;
  ASSERT_EQ(0, pthread_join(thread, &result));
  EXPECT_EQ(PTHREAD_CANCELED, result);
  EXPECT_TRUE(has_unwound);
}

TEST(Original, IsTheFunctionThatTheHookHides) {
  auto* const plain_read = coir::hooks::original<decltype(::read)>("read");
  ASSERT_NE(nullptr, plain_read);
  EXPECT_NE(&::read, plain_read);
  pipe_pair pipe;
  ASSERT_EQ(1, ::write(pipe[1], "x", 1));
  char byte;
  EXPECT_EQ(1, plain_read(pipe[0], &byte, 1));
  EXPECT_EQ(nullptr, coir::hooks::original<void()>("no_such_function_exists"));
}

}  // namespace
