#include "tests/runtime/support.hpp"

#include <atomic>

namespace coir::test {
namespace {

using dump_all_test = runtime_test;

TEST_F(dump_all_test, it_shows_the_fibers_of_every_worker_and_what_they_wait_for) {
  worker_options how;
  how.count = 2;
  how.name = "shown";
  workers crew(how);
  event gate;
  std::atomic<int> waiting{0};
  const auto wait = [&] {
    ++waiting;
    gate.wait();
  };
  crew.spawn_on(0, {.name = "one"}, wait);
  crew.spawn_on(1, {.name = "other"}, wait);
  ASSERT_TRUE(eventually([&] { return waiting == 2; }));
  const std::string text = dump_all();
  for (const char* part : {"\"shown-0\"", "\"shown-1\"", "fiber \"one\"", "fiber \"other\"",
                           "waits for event", "serves the fibers of its worker"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " is not in\n" << text;
  }
  gate.set();
}

TEST_F(dump_all_test, a_worker_whose_thread_is_held_is_named_after_a_second) {
  workers crew(1);
  std::atomic<bool> may_end{false};
  std::atomic<bool> has_begun{false};
  fiber<> holder = crew.spawn([&] {
    has_begun = true;
    const stopwatch watch;
    while (!may_end && watch.elapsed() < 20s) {
    }
  });
  ASSERT_TRUE(eventually([&] { return has_begun.load(); }));
  const std::string text = dump_all();
  EXPECT_NE(text.find("did not answer"), std::string::npos) << text;
  may_end = true;
  holder.join();
  EXPECT_EQ(dump_all().find("did not answer"), std::string::npos);
}

}  // namespace
}  // namespace coir::test
