// errno belongs to a fiber. Compilers take its address once for a whole function, over every
// switch: that must be right, therefore this file is compiled with optimisation in every build.
#include "runtime/io/io.hpp"
#include "tests/runtime/support.hpp"

#include <thread>

namespace coir::test {
namespace {

using errno_test = runtime_test;

TEST_F(errno_test, it_is_kept_over_yields) {
  auto body = [](int number) {
    errno = number;
    for (int i = 0; i < 100; ++i) {
      yield();
      ASSERT_EQ(errno, number);
      errno = ++number;
    }
  };
  std::vector<fiber<>> fibers;
  for (int i = 0; i < 20; ++i) fibers.push_back(spawn(body, 1000 * i));
  errno = -1;
  joinall(fibers);
  EXPECT_EQ(errno, -1);
}

TEST_F(errno_test, it_is_kept_over_every_kind_of_wait) {
  const socket_ends pair = make_socket_pair();
  mutex m;
  counting_semaphore units(1);
  queue<int> q(0);
  auto body = [&](int number) {
    char byte = 'x';
    errno = number;
    sleep(1ms);
    ASSERT_EQ(errno, number);
    {
      std::lock_guard guard(m);
      yield();
      ASSERT_EQ(errno, number);
    }
    units.acquire();
    sleep(microseconds(number));
    ASSERT_EQ(errno, number);
    units.release();
    io::write(pair.one.get(), &byte, 1, {});
    ASSERT_EQ(errno, number);
    io::read(pair.other.get(), &byte, 1, {});
    ASSERT_EQ(errno, number);
    io::read(-1, &byte, 1, {});
    ASSERT_EQ(errno, number);
    if (number % 2) {
      q.put(number);
    } else {
      q.get();
    }
    ASSERT_EQ(errno, number);
    offload([] { errno = 12345; });
    ASSERT_EQ(errno, number);
  };
  std::vector<fiber<>> fibers;
  for (int i = 1; i <= 10; ++i) fibers.push_back(spawn(body, i));
  EXPECT_EQ(joinall(fibers, 30s), 10u);
}

TEST_F(errno_test, a_fiber_begins_with_zero) {
  errno = 99;
  EXPECT_EQ(spawn([] { return errno; }).get(), 0);
  EXPECT_EQ(errno, 99);
}

TEST_F(errno_test, a_failing_call_in_one_fiber_does_not_show_in_another) {
  fiber<> failing = spawn([] {
    for (int i = 0; i < 50; ++i) {
      ASSERT_EQ(::close(-1), -1);
      yield();
      ASSERT_EQ(errno, EBADF);
      errno = 0;
      yield();
      ASSERT_EQ(errno, 0);
    }
  });
  fiber<> succeeding = spawn([] {
    errno = 0;
    for (int i = 0; i < 100; ++i) {
      yield();
      ASSERT_EQ(errno, 0);
    }
  });
  joinall(std::vector{failing, succeeding});
}

TEST_F(errno_test, each_worker_keeps_its_own) {
  auto work = [](int base) {
    std::vector<fiber<>> fibers;
    for (int f = 0; f < 5; ++f) {
      fibers.push_back(spawn([number = base + f] {
        errno = number;
        for (int i = 0; i < 200; ++i) {
          i % 10 ? yield() : sleep(1us);
          ASSERT_EQ(errno, number);
        }
      }));
    }
    joinall(fibers);
  };
  std::thread other(work, 500);
  work(100);
  other.join();
}

}  // namespace
}  // namespace coir::test
