// Stacks and control blocks: sizes, guards, reuse and the return of idle memory.
#include "runtime/fiber/fiber_pool.hpp"
#include "runtime/fiber/guard_page.hpp"
#include "tests/runtime/support.hpp"

#include <cstring>
#include <set>

#include <sys/uio.h>

namespace coir::test {
namespace {

using detail::control_block;
using detail::fiber_pool;

class stack_pool_test : public testing::Test {
 protected:
  detail::thread_slots home;
  fiber_pool pool{home};
};

const detail::stack_memory& stack_of(const control_block* f) { return f->record->stack; }

/// Asks the kernel whether a byte can be read, which unlike reading it cannot fault.
bool is_readable(const std::byte* address) {
  std::byte value;
  iovec local{&value, 1};
  iovec remote{const_cast<std::byte*>(address), 1};
  return ::process_vm_readv(::getpid(), &local, 1, &remote, 1, 0) == 1;
}

TEST_F(stack_pool_test, a_stack_has_at_least_the_size_asked_for) {
  for (const std::size_t size :
       {std::size_t{1}, std::size_t{20'000}, std::size_t{64 * 1024}, std::size_t{8 << 20}}) {
    control_block* f = pool.acquire(size);
    ASSERT_NE(f, nullptr);
    EXPECT_GE(stack_of(f).bytes, size);
    EXPECT_GE(stack_of(f).bytes, fiber_pool::stack_bytes_min);
    std::memset(stack_of(f).bottom, 0x5a, stack_of(f).bytes);
    pool.release(*f);
  }
}

TEST_F(stack_pool_test, the_page_below_a_stack_is_guarded) {
  for (int i = 0; i < 200; ++i) {
    control_block* f = pool.acquire(64 * 1024);
    ASSERT_NE(f, nullptr);
    EXPECT_TRUE(is_readable(stack_of(f).bottom));
    EXPECT_TRUE(is_readable(stack_of(f).top() - 1));
    EXPECT_FALSE(is_readable(stack_of(f).bottom - 1));
    EXPECT_FALSE(is_readable(stack_of(f).bottom - detail::page_bytes));
  }
}

TEST_F(stack_pool_test, stacks_do_not_overlap) {
  std::vector<control_block*> held;
  for (int i = 0; i < 300; ++i) held.push_back(pool.acquire(32 * 1024));
  EXPECT_EQ(pool.live(), 300u);
  for (std::size_t i = 0; i < held.size(); ++i) {
    std::memset(stack_of(held[i]).bottom, static_cast<int>(i % 251), stack_of(held[i]).bytes);
  }
  for (std::size_t i = 0; i < held.size(); ++i) {
    const auto expected = static_cast<std::byte>(i % 251);
    EXPECT_EQ(*stack_of(held[i]).bottom, expected);
    EXPECT_EQ(stack_of(held[i]).top()[-1], expected);
  }
}

TEST_F(stack_pool_test, the_stack_released_last_is_reused_first) {
  control_block* one = pool.acquire(64 * 1024);
  control_block* two = pool.acquire(64 * 1024);
  pool.release(*one);
  pool.release(*two);
  EXPECT_EQ(pool.acquire(64 * 1024), two);
  EXPECT_EQ(pool.acquire(64 * 1024), one);
}

TEST_F(stack_pool_test, one_stack_serves_any_number_of_fibers) {
  long sum = 0;
  for (int i = 0; i < 30'000; ++i) {
    spawn([&] {
      yield();
      ++sum;
    }).join();
  }
  EXPECT_EQ(sum, 30'000);
}

TEST_F(stack_pool_test, sizes_do_not_mix) {
  control_block* small = pool.acquire(32 * 1024);
  pool.release(*small);
  control_block* large = pool.acquire(1 << 20);
  EXPECT_NE(large, small);
  EXPECT_GE(stack_of(large).bytes, std::size_t{1} << 20);
}

TEST_F(stack_pool_test, tops_of_neighbours_fall_into_different_cache_sets) {
  std::set<std::size_t> places;
  for (int i = 0; i < 32; ++i) {
    control_block* f = pool.acquire(64 * 1024);
    places.insert(reinterpret_cast<std::uintptr_t>(stack_of(f).top()) / 4096 % 512);
  }
  EXPECT_GE(places.size(), 16u);
}

TEST_F(stack_pool_test, memory_of_stacks_that_stay_idle_goes_back_to_the_kernel) {
  std::vector<control_block*> held;
  for (int i = 0; i < 1000; ++i) {
    held.push_back(pool.acquire(16 * 1024));
    std::memset(stack_of(held.back()).bottom, 1, stack_of(held.back()).bytes);
  }
  for (control_block* f : held) pool.release(*f);
  for (int i = 0; i < 20; ++i) pool.trim();
  std::size_t given_back = 0;
  for (control_block* f : held) given_back += *stack_of(f).bottom == std::byte{0};
  EXPECT_GT(given_back, 500u);
  EXPECT_LT(given_back, 1000u);  // some stay warm
  for (int i = 0; i < 1000; ++i) {
    control_block* f = pool.acquire(16 * 1024);
    std::memset(stack_of(f).bottom, 2, stack_of(f).bytes);
    EXPECT_FALSE(is_readable(stack_of(f).bottom - 1));
  }
}

TEST_F(stack_pool_test, stacks_in_use_keep_their_memory_when_others_are_trimmed) {
  std::vector<control_block*> held;
  for (int i = 0; i < 1000; ++i) {
    held.push_back(pool.acquire(16 * 1024));
    std::memset(stack_of(held.back()).bottom, 3, stack_of(held.back()).bytes);
  }
  for (std::size_t i = 0; i < held.size(); i += 2) pool.release(*held[i]);
  for (int i = 0; i < 20; ++i) pool.trim();
  for (std::size_t i = 1; i < held.size(); i += 2) {
    EXPECT_EQ(*stack_of(held[i]).bottom, std::byte{3});
    EXPECT_EQ(stack_of(held[i]).top()[-1], std::byte{3});
  }
}

}  // namespace
}  // namespace coir::test
