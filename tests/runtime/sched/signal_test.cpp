// Signals meet a program whose fibers all wait: their usual effect comes at once, and a wait that a
// handler interrupts keeps its length.
#include "tests/runtime/support.hpp"

#include <csignal>
#include <thread>

namespace coir::test {
namespace {

using signal_test = fresh_process_test;

/// Sends SIGINT to the process a little later, from a thread of its own.
std::thread interrupt_soon() {
  return std::thread([] {
    std::this_thread::sleep_for(5ms);
    ::kill(::getpid(), SIGINT);
  });
}

TEST_F(signal_test, an_interrupt_ends_a_program_that_is_blocked_in_its_fibers) {
  EXPECT_EXIT(
      {
        fiber<> asleep = spawn([] { sleep(1h); });
        fiber<> waiting = spawn([] { event().wait(); });
        interrupt_soon().detach();
        asleep.join();
        ::_exit(1);
      },
      testing::KilledBySignal(SIGINT), "");
}

volatile std::sig_atomic_t handled = 0;

void note(int) { handled = handled + 1; }

TEST_F(signal_test, a_handler_runs_at_once_and_the_waits_go_on_to_their_end) {
  EXPECT_EXIT(
      {
        std::signal(SIGINT, note);
        const stopwatch watch;
        bool is_in_time = false;
        fiber<> watcher = spawn([&] {
          while (!handled && watch.elapsed() < 10s) sleep(1ms);
          is_in_time = watch.elapsed() < 2s;
        });
        std::thread sender = interrupt_soon();
        sleep(60ms);
        const bool kept_its_length = watch.elapsed() >= 60ms;
        watcher.join();
        sender.join();
        ::_exit(handled == 1 && kept_its_length && is_in_time ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

TEST_F(signal_test, a_handler_does_not_end_a_wait_without_a_limit) {
  EXPECT_EXIT(
      {
        std::signal(SIGINT, note);
        event go;
        std::thread sender([&] {
          for (int i = 0; i < 5; ++i) {
            ::kill(::getpid(), SIGINT);
            std::this_thread::sleep_for(1ms);
          }
          go.set();
        });
        go.wait();
        const int seen = handled;
        sender.join();
        ::_exit(go.is_set() && seen >= 1 ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace coir::test
