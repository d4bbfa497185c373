// The end of a thread, and of the process, with fibers that have not ended.
#include "runtime/io/io.hpp"
#include "tests/runtime/support.hpp"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <thread>

namespace coir::test {
namespace {

using thread_exit_test = runtime_test;

TEST_F(thread_exit_test, its_parked_fibers_are_unwound) {
  std::atomic<int> unwound{0};
  std::atomic<int> went_on{0};
  auto token = std::make_shared<int>(0);
  std::vector<fiber<>> fibers;
  std::thread([&] {
    auto wait_in = [&](auto wait) {
      fibers.push_back(spawn([&unwound, &went_on, token, wait] {
        try {
          wait();
          ++went_on;
        } catch (const fiber_exit&) {
          ++unwound;
          throw;
        }
      }));
    };
    // They end after this function has returned, so that what they wait for must not lie on its
    // stack.
    wait_in([] { sleep(1h); });
    wait_in([] {
      for (;;) yield();
    });
    wait_in([e = std::make_shared<event>()] { e->wait(); });
    wait_in([q = std::make_shared<queue<int>>()] { q->get(); });
    wait_in([p = std::make_shared<pipe_ends>(make_pipe())] {
      char byte;
      passed(io::read(p->reader.get(), &byte, 1, {}));
    });
    sleep(1ms);
  }).join();
  EXPECT_EQ(unwound, 5);
  EXPECT_EQ(went_on, 0);
  EXPECT_EQ(token.use_count(), 1);
  for (auto& f : fibers) {
    EXPECT_TRUE(f.ready());
    EXPECT_TRUE(f.successful());
  }
}

TEST_F(thread_exit_test, its_fibers_that_have_not_begun_never_run) {
  std::atomic<bool> has_run{false};
  fiber<> f;
  fiber<> late;
  std::thread([&] {
    f = spawn([&] { has_run = true; });
    late = spawn_after(1h, [&] { has_run = true; });
  }).join();
  EXPECT_FALSE(has_run);
  EXPECT_TRUE(f.ready());
  EXPECT_TRUE(late.ready());
}

TEST_F(thread_exit_test, joiners_on_other_threads_wake) {
  queue<fiber<>> handed_over;
  std::thread other([&] {
    handed_over.put(spawn([] { sleep(1h); }));
    sleep(5ms);
  });
  fiber<> f = handed_over.get();
  EXPECT_TRUE(f.join_for(20s));
  other.join();
}

TEST_F(thread_exit_test, killing_a_fiber_of_a_thread_that_has_ended_does_nothing) {
  fiber<> f;
  std::thread([&] { f = spawn([] { sleep(1h); }); }).join();
  f.kill();
  EXPECT_TRUE(f.ready());
}

std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
    ++count;
  return count;
}

TEST_F(thread_exit_test, many_threads_come_and_go_without_leaving_descriptors) {
  std::thread([] { sleep(1us); }).join();
  const std::size_t before = open_descriptors();
  for (int i = 0; i < scaled(300); ++i) {
    std::thread([] {
      fiber<int> f = spawn([] {
        sleep(1us);
        return 1;
      });
      EXPECT_EQ(f.get(), 1);
    }).join();
  }
  EXPECT_EQ(open_descriptors(), before);
}

TEST_F(thread_exit_test, threads_end_while_others_wake_their_fibers) {
  for (int round = 0; round < scaled(300); ++round) {
    auto e = std::make_shared<event>();
    auto m = std::make_shared<counting_semaphore>(0);
    std::thread other([e, m] {
      spawn([e] { e->wait(); });
      spawn([m] { m->try_acquire_for(microseconds(30)); });
      sleep(microseconds(20));
    });
    e->set();
    m->release();
    other.join();
  }
}

using process_exit_test = fresh_process_test;

TEST_F(process_exit_test, a_program_may_exit_with_parked_fibers) {
  EXPECT_EXIT(
      {
        event never_set;
        fiber<> a = spawn([] { sleep(1h); });
        fiber<> b = spawn([&] { never_set.wait(); });
        fiber<> c = spawn([] {
          const pipe_ends pipe = make_pipe();
          char byte;
          io::read(pipe.reader.get(), &byte, 1, {});
        });
        fiber<> not_begun;
        sleep(1ms);
        not_begun = spawn([] {});
        std::exit(0);
      },
      testing::ExitedWithCode(0), contains("coir:", 0));
}

TEST_F(process_exit_test, a_fiber_may_end_the_program) {
  const without_leak_check exits_from_a_fiber;
  EXPECT_EXIT(
      {
        fiber<> parked = spawn([] { sleep(1h); });
        fiber<> ends = spawn([] { std::exit(5); });
        sleep(1h);
      },
      testing::ExitedWithCode(5), contains("coir:", 0));
}

TEST_F(process_exit_test, a_program_may_exit_while_other_workers_run) {
  EXPECT_EXIT(
      {
        std::atomic<int> ready{0};
        for (int i = 0; i < 2; ++i) {
          std::thread([&] {
            spawn([] {
              for (;;) sleep(1ms);
            });
            ++ready;
            for (;;) sleep(1ms);
          }).detach();
        }
        while (ready < 2) sleep(1ms);
        offload([] {});
        std::exit(0);
      },
      testing::ExitedWithCode(0), contains("coir:", 0));
}

TEST_F(process_exit_test, a_fiber_that_refuses_to_end_is_reported_and_abandoned_with_its_thread) {
  EXPECT_EXIT(
      {
        std::thread([] {
          spawn(attributes{.name = "stubborn"}, [] {
            for (;;) {
              try {
                sleep(1h);
              } catch (const fiber_exit&) {
              }
            }
          });
          sleep(1ms);
        }).join();
        _exit(spawn([] { return 3; }).get());
      },
      testing::ExitedWithCode(3),
      contains("coir: a thread ended while 1 of its fibers did not end"));
}

}  // namespace
}  // namespace coir::test
