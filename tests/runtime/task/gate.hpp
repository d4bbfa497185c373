// What holds threads up until a test lets them go.
#pragma once

#include "tests/runtime/support.hpp"

#include <atomic>
#include <thread>

namespace coir::test {

/// Blocks the threads that come until it is opened, and counts them.
class gate {
 public:
  /// For work on a thread; gives up after ten seconds.
  void pass() {
    ++waiting_;
    const stopwatch watch;
    while (!is_open_ && watch.elapsed() < 10s) std::this_thread::sleep_for(microseconds(100));
    EXPECT_TRUE(is_open_);
    --waiting_;
  }
  void open() { is_open_ = true; }
  int waiting() const { return waiting_; }

 private:
  std::atomic<bool> is_open_{false};
  std::atomic<int> waiting_{0};
};

}  // namespace coir::test
