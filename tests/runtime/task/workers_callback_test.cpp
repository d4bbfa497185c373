// What is called after fibers of a set that were killed before they began: by whom and when.
#include <coir/handlers.hpp>
#include <coir/workers.hpp>

#include "tests/runtime/support.hpp"
#include "tests/runtime/task/gate.hpp"

#include <atomic>
#include <thread>
#include <vector>

namespace coir::test {
namespace {

class workers_callback_test : public runtime_test {
 protected:
  /// Spawns two fibers that do not begin before the gate is opened: one for any worker, one for a
  /// certain worker.
  void SetUp() override {
    runtime_test::SetUp();
    holder_ = set_.spawn_on(0, [&] { gate_.pass(); });
    ASSERT_TRUE(eventually([&] { return gate_.waiting() == 1; }));
    unbegun_.push_back(set_.spawn([&] { ++runs_; }));
    unbegun_.push_back(set_.spawn_on(0, [&] { ++runs_; }));
  }
  void kill_by_a_thread_that_ends() {
    std::thread([&] {
      for (const fiber<>& f : unbegun_) f.kill();
    }).join();
    for (const fiber<>& f : unbegun_) EXPECT_TRUE(f.ready());
  }
  void open() {
    gate_.open();
    EXPECT_TRUE(holder_.join_for(20s));
    EXPECT_TRUE(set_.join_for(20s));
    EXPECT_EQ(runs_, 0);
  }

  workers set_{1};
  gate gate_;
  fiber<> holder_;
  std::vector<fiber<>> unbegun_;
  std::atomic<int> runs_{0};
};

TEST_F(workers_callback_test, a_killer_that_ends_at_once_leaves_them_to_the_set) {
  std::atomic<int> done{0};
  for (fiber<>& f : unbegun_) f.on_done([&] { ++done; });
  kill_by_a_thread_that_ends();
  EXPECT_EQ(done, 0);
  open();
  EXPECT_EQ(done, 2);
}

TEST_F(workers_callback_test, those_added_after_the_kill_come_last_and_once) {
  std::vector<int> order;
  unbegun_[0].on_done([&] {
    yield();
    order.push_back(1);
  });
  kill_by_a_thread_that_ends();
  unbegun_[0].on_done([&] { order.push_back(2); });
  std::thread([&] { unbegun_[0].on_done([&] { order.push_back(3); }); }).join();
  open();
  EXPECT_EQ(order, (std::vector{1, 2, 3}));
}

TEST_F(workers_callback_test, the_first_one_may_come_after_the_kill) {
  std::atomic<int> done{0};
  kill_by_a_thread_that_ends();
  for (fiber<>& f : unbegun_) std::thread([&] { f.on_done([&] { ++done; }); }).join();
  open();
  EXPECT_EQ(done, 2);
}

TEST_F(workers_callback_test, the_first_one_may_come_when_the_set_is_done_with_the_fiber) {
  kill_by_a_thread_that_ends();
  open();
  int done = 0;
  for (fiber<>& f : unbegun_) f.on_done([&] { ++done; });
  yield();
  yield();
  EXPECT_EQ(done, 2);
}

}  // namespace
}  // namespace coir::test
