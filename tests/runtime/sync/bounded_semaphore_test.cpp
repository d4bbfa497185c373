// A semaphore that notices a release without an acquire: gevent's BoundedSemaphore.
#include "tests/runtime/support.hpp"

#include <stdexcept>
#include <thread>
#include <type_traits>

namespace coir::test {
namespace {

using bounded_semaphore_test = runtime_test;

static_assert(std::is_same_v<binary_semaphore, counting_semaphore>);

TEST_F(bounded_semaphore_test, a_release_beyond_the_initial_value_is_an_error_and_adds_nothing) {
  bounded_semaphore s(2);
  EXPECT_EQ(s.max(), 2);
  EXPECT_THROW(s.release(), std::logic_error);
  EXPECT_EQ(s.available(), 2);
  s.acquire();
  EXPECT_THROW(s.release(2), std::logic_error);
  EXPECT_EQ(s.available(), 1);
  s.release();
  EXPECT_EQ(s.available(), 2);
  EXPECT_THROW(s.release(PTRDIFF_MAX), std::logic_error);
  EXPECT_EQ(s.available(), 2);
  s.release(0);
}

TEST_F(bounded_semaphore_test, units_on_their_way_to_waiters_count_as_taken) {
  bounded_semaphore s(2);
  s.acquire();
  s.acquire();
  std::vector<fiber<>> fibers;
  for (int i = 0; i < 2; ++i) fibers.push_back(spawn([&] { s.acquire(); }));
  yield();
  EXPECT_THROW(s.release(3), std::logic_error);
  EXPECT_FALSE(fibers.front().ready());
  s.release(2);
  joinall(fibers);
  EXPECT_EQ(s.available(), 0);
  s.release(2);
  EXPECT_THROW(s.release(), std::logic_error);
}

TEST_F(bounded_semaphore_test, a_number_of_units_is_not_negative) {
  EXPECT_THROW(bounded_semaphore(-1), std::invalid_argument);
  bounded_semaphore s(1);
  EXPECT_THROW(s.release(-1), std::invalid_argument);
  EXPECT_EQ(s.available(), 1);
}

TEST_F(bounded_semaphore_test, it_is_a_semaphore_in_all_else) {
  bounded_semaphore s(1);
  EXPECT_TRUE(s.try_acquire());
  EXPECT_FALSE(s.try_acquire());
  EXPECT_FALSE(s.try_acquire_for(1ms));
  EXPECT_FALSE(s.wait_for(1ms));
  std::vector<int> order;
  std::vector<fiber<>> fibers;
  for (int i = 0; i < 5; ++i) {
    fibers.push_back(spawn([&, i] {
      s.acquire();
      order.push_back(i);
      s.release();
    }));
  }
  yield();
  counting_semaphore& same = s;
  same.release();
  joinall(fibers);
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4}));
  EXPECT_THROW(same.release(), std::logic_error);
}

TEST_F(bounded_semaphore_test, several_threads_neither_lose_nor_gain_a_unit) {
  bounded_semaphore s(2);
  const int rounds = scaled(5000);
  auto work = [&] {
    for (int i = 0; i < rounds; ++i) {
      s.acquire();
      if (i % 64 == 0) yield();
      s.release();
    }
  };
  std::thread one(work);
  std::thread two(work);
  work();
  one.join();
  two.join();
  EXPECT_EQ(s.available(), 2);
}

}  // namespace
}  // namespace coir::test
