// A wake that comes while a worker finds out whether any could: by a thread that ends then. The
// question goes to a host of threads, which this program is, so that the moment is met each time.
#include "runtime/kernel/thread_host.hpp"

#include <coir/coir.hpp>

#include <gtest/gtest.h>

#include <thread>

namespace {

coir::event* to_be_set = nullptr;

/// A thread wakes somebody and is gone before it could be counted.
int set_and_count_nobody(const char*) {
  if (to_be_set) std::thread([] { to_be_set->set(); }).join();
  return 0;
}

constexpr coir::kernel::thread_host host = {
    [](int, std::int64_t) { return false; },
    [](const std::uint32_t*, std::uint32_t, std::int64_t) { return false; },
    [](const std::uint32_t*, int) { return 0; },
    [] { return false; },
    [] {},
    [] {},
    [](int) {},
    set_and_count_nobody,
};

}  // namespace

extern "C" [[gnu::visibility("default")]] const coir::kernel::thread_host* coir_thread_host_v1() {
  return &host;
}

namespace coir::test {
namespace {

TEST(late_wake_test, a_thread_that_wakes_and_ends_meanwhile_leaves_no_deadlock) {
  event e;
  to_be_set = &e;
  EXPECT_NO_THROW({
    e.wait();
    coir::yield();
  });
  to_be_set = nullptr;
  event never;
  EXPECT_THROW(never.wait(), deadlock);  // so it was asked
}

}  // namespace
}  // namespace coir::test
