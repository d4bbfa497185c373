/// The random operations that the mixes are made of, what all fibers share, and its books.
#pragma once

#include "tests/stress/stress.hpp"

#include <atomic>

namespace coir::test {

/// What all fibers of all workers share, and the books that must balance in the end.
struct world {
  queue<int> bounded{4};
  queue<int> rendezvous{0};
  queue<int> unbounded;
  mutex lock;
  long guarded = 0;  // guarded by lock
  condition_variable changed;
  counting_semaphore units{3};
  event flag;
  std::atomic<long> put{0};
  std::atomic<long> got{0};
  std::atomic<long> locked{0};
  std::atomic<int> holding{0};
  std::atomic<int> holding_max{0};
  std::atomic<long> actions{0};
  std::atomic<long> kills{0};
  std::atomic<bool> is_over{false};
};

/// One random operation on what is shared, on fibers of its own, or on sockets.
void act(world& w, dice& d);
/// As act, but without anything from outside: no descriptors, no threads.
void act_inside(world& w, dice& d);

/// Expects, when nobody acts any more, that nothing is lost, left over or held.
void expect_balance(world& w);

}  // namespace coir::test
