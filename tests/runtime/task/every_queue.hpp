/// The tests that hold for every kind of queue: TYPED_TEST(every_queue, ...).
#pragma once

#include "tests/runtime/support.hpp"

#include <string>
#include <type_traits>

namespace coir::test {

/// Fixture; TypeParam is the queue.
template <class Queue>
class every_queue : public runtime_test {};

/// What the kinds are called in the tests' names.
struct kind_names {
  template <class Queue>
  static std::string GetName(int) {
    if (std::is_same_v<Queue, queue<int>>) return "fifo";
    return std::is_same_v<Queue, lifo_queue<int>> ? "lifo" : "priority";
  }
};

using queue_kinds = testing::Types<queue<int>, lifo_queue<int>, priority_queue<int>>;

}  // namespace coir::test
