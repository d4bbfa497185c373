// coir::signal_set: waiting, several sets, masks, handlers of the program, forks.
#include <coir/signal_set.hpp>

#include "tests/runtime/forking.hpp"
#include "tests/runtime/system/support.hpp"

#include <coir/process.hpp>

#include <atomic>
#include <csignal>
#include <thread>

#include <sys/wait.h>

namespace coir::test {
namespace {

using signal_set_test = runtime_test;
using signal_set_fork_test = fresh_process_test;

std::atomic<int> handled{0};
void count_signal(int) { ++handled; }

void send(int number) { ::kill(::getpid(), number); }

#if defined(__SANITIZE_THREAD__)
// It runs handlers later than the kernel says, and keeps one signal of each number at most.
constexpr bool signals_come_at_once = false;
#else
constexpr bool signals_come_at_once = true;
#endif

TEST_F(signal_set_test, a_fiber_waits_while_others_run_and_is_told_who_sent_it) {
  signal_set set({SIGUSR1, SIGUSR2});
  fiber<signal_info> waiting = spawn([&] { return set.wait(); });
  sleep(2ms);
  EXPECT_FALSE(waiting.ready());
  send(SIGUSR2);
  const signal_info info = waiting.get_for(10s);
  EXPECT_EQ(info.number, SIGUSR2);
  EXPECT_EQ(info.pid, ::getpid());
  EXPECT_EQ(info.uid, ::getuid());
  EXPECT_EQ(info.code, SI_USER);
  EXPECT_EQ(info.text(), "SIGUSR2 from process " + std::to_string(::getpid()));
  EXPECT_TRUE(set.contains(SIGUSR1));
  EXPECT_FALSE(set.contains(SIGINT));
}

TEST_F(signal_set_test, a_signal_that_came_before_the_wait_is_kept) {
  signal_set set({SIGUSR1});
  EXPECT_EQ(set.try_wait(), std::nullopt);
  send(SIGUSR1);
  EXPECT_EQ(set.wait().number, SIGUSR1);
  const stopwatch watch;
  EXPECT_EQ(set.wait_for(20ms), std::nullopt);
  expect_took(watch, 20ms);
}

TEST_F(signal_set_test, queued_signals_come_in_order_with_their_values) {
  if (!signals_come_at_once) GTEST_SKIP() << "the thread sanitizer holds signals back";
  signal_set set({SIGRTMIN + 1});
  for (int i = 0; i < 100; ++i) {
    sigval value;
    value.sival_int = i;
    ASSERT_EQ(::sigqueue(::getpid(), SIGRTMIN + 1, value), 0);
  }
  for (int i = 0; i < 100; ++i) {
    const std::optional<signal_info> info = set.wait_for(10s);
    ASSERT_TRUE(info);
    EXPECT_EQ(info->value, i);
    EXPECT_EQ(info->code, SI_QUEUE);
  }
  EXPECT_EQ(set.dropped(), 0u);
}

TEST_F(signal_set_test, signals_for_which_there_is_no_room_are_counted) {
  signal_set set({SIGUSR1});
  constexpr int sent = 20'000;
  for (int i = 0; i < sent; ++i) ::raise(SIGUSR1);
  int got = 0;
  while (set.try_wait()) ++got;
  EXPECT_GE(got, 200);
  EXPECT_EQ(set.dropped(), static_cast<std::uint64_t>(sent - got));
}

TEST_F(signal_set_test, each_of_several_sets_gets_the_signal_and_of_a_set_one_fiber) {
  signal_set one({SIGUSR1});
  auto other = std::make_unique<signal_set>(std::initializer_list<int>{SIGUSR1, SIGUSR2});
  int woken = 0;
  std::vector<fiber<>> waiting;
  for (int i = 0; i < 3; ++i) {
    waiting.push_back(spawn([&] {
      one.wait();
      ++woken;
    }));
  }
  yield();
  send(SIGUSR1);
  EXPECT_EQ(other->wait().number, SIGUSR1);
  EXPECT_TRUE(eventually([&] { return woken == 1; }));
  sleep(2ms);
  EXPECT_EQ(woken, 1);
  other.reset();
  send(SIGUSR1);
  EXPECT_TRUE(eventually([&] { return woken == 2; })) << "the other set's end takes nothing away";
  killall(waiting);
}

TEST_F(signal_set_test, handlers_of_the_program_rest_and_come_back) {
  handled = 0;
  const auto before = std::signal(SIGUSR1, count_signal);
  const auto before2 = std::signal(SIGUSR2, count_signal);
  {
    signal_set set({SIGUSR1});
    send(SIGUSR1);
    EXPECT_EQ(set.wait().number, SIGUSR1);
    EXPECT_EQ(handled, 0);
    send(SIGUSR2);
    EXPECT_TRUE(eventually([] { return handled == 1; })) << "another signal's handler runs";
  }
  send(SIGUSR1);
  EXPECT_TRUE(eventually([] { return handled == 2; }));
  {
    signal_set set({SIGUSR1});
    std::signal(SIGUSR1, SIG_IGN);  // the program has changed its mind
  }
  EXPECT_EQ(std::signal(SIGUSR1, before), SIG_IGN);
  std::signal(SIGUSR2, before2);
}

TEST_F(signal_set_test, a_mask_that_would_keep_them_away_is_opened_in_the_thread_of_the_set) {
  sigset_t only, before, after;
  sigemptyset(&only);
  sigaddset(&only, SIGUSR1);
  ::pthread_sigmask(SIG_BLOCK, &only, &before);
  send(SIGUSR1);  // pending from before
  signal_set set({SIGUSR1});
  EXPECT_EQ(set.wait().number, SIGUSR1);
  ::pthread_sigmask(SIG_SETMASK, &before, &after);
  EXPECT_FALSE(sigismember(&after, SIGUSR1));
}

TEST_F(signal_set_test, workers_and_threads_may_wait_wherever_the_kernel_delivers) {
  signal_set set({SIGUSR1});
  std::atomic<int> got{0};
  workers team;
  for (int i = 0; i < 3; ++i) {
    team.spawn([&] {
      set.wait();
      ++got;
    });
  }
  std::thread plain([&] {
    set.wait();
    ++got;
  });
  for (int i = 1; i <= 4; ++i) {
    send(SIGUSR1);
    EXPECT_TRUE(eventually([&] { return got >= i; }));
  }
  plain.join();
}

TEST_F(signal_set_test, system_calls_in_other_threads_go_on) {
  if (!signals_come_at_once) GTEST_SKIP() << "the thread sanitizer holds signals back";
  const pipe_ends pipe = make_pipe();
  signal_set set({SIGUSR1});
  ssize_t result = 0;
  std::thread reader([&] {
    char byte;
    result = ::read(pipe.reader.get(), &byte, 1);
  });
  for (int i = 0; i < 20; ++i) {
    ::pthread_kill(reader.native_handle(), SIGUSR1);
    EXPECT_TRUE(set.wait_for(10s));
  }
  EXPECT_EQ(::write(pipe.writer.get(), "x", 1), 1);
  reader.join();
  EXPECT_EQ(result, 1);
}

TEST_F(signal_set_test, the_end_of_a_child_can_be_waited_for_beside_coir_process) {
  signal_set set({SIGCHLD});
  process child({"sh", "-c", "exit 3"});
  const std::optional<signal_info> info = set.wait_for(20s);
  ASSERT_TRUE(info);
  EXPECT_EQ(info->pid, child.pid());
  EXPECT_EQ(info->code, CLD_EXITED);
  EXPECT_EQ(info->value, 3);
  EXPECT_EQ(child.wait().code(), 3);
}

TEST_F(signal_set_test, children_get_none_of_it) {
  signal_set set({SIGTERM, SIGINT});
  process child({"sleep", "60"});
  child.terminate();
  EXPECT_EQ(child.wait().signal(), SIGTERM);
  EXPECT_EQ(set.try_wait(), std::nullopt);
}

TEST_F(signal_set_test, a_killed_wait_loses_no_signal) {
  signal_set set({SIGUSR1});
  fiber<> waiting = spawn([&] { set.wait(); });
  yield();
  waiting.kill();
  EXPECT_FALSE(move_on_after(2ms, [&] { set.wait(); }));
  send(SIGUSR1);
  EXPECT_TRUE(set.wait_for(10s));
}

TEST_F(signal_set_test, a_fiber_can_hand_signals_on_to_a_select) {
  signal_set set({SIGUSR1});
  channel<signal_info> signals;
  channel<int> others;
  fiber<> hands_on = spawn([&] {
    for (;;) signals.send(set.wait());
  });
  send(SIGUSR1);
  int number = 0;
  select(on_recv(signals, [&](std::optional<signal_info> info) { number = info->number; }),
         on_recv(others), after(10s));
  EXPECT_EQ(number, SIGUSR1);
  hands_on.kill();
}

TEST_F(signal_set_test, numbers_that_cannot_be_caught_and_too_many_sets_are_errors) {
  for (const int number : {0, -1, 65, 32, SIGKILL, SIGSTOP, SIGSEGV, SIGFPE})
    EXPECT_THROW(signal_set({number}), std::invalid_argument) << number;
  std::vector<std::unique_ptr<signal_set>> sets;
  const std::size_t before = open_descriptors();
  for (int i = 0; i < 64; ++i)
    sets.push_back(std::make_unique<signal_set>(std::initializer_list<int>{SIGUSR1}));
  expect_says(error_of([] { signal_set({SIGUSR1}); }), {"64 sets"});
  sets.clear();
  EXPECT_EQ(open_descriptors(), before);
  {
    const few_descriptors few(1);
    EXPECT_THROW(signal_set({SIGUSR1}), std::system_error);
  }
  EXPECT_EQ(std::signal(SIGUSR1, SIG_DFL), SIG_DFL);
}

TEST_F(signal_set_test, sets_come_and_go_while_signals_rain) {
  signal_set lasting({SIGUSR1});  // the default action would end the process
  std::atomic<bool> is_over{false};
  std::thread sender([&] {
    while (!is_over) send(SIGUSR1);
  });
  int got = 0;
  for (int i = 0; i < scaled(2000); ++i) {
    signal_set set({SIGUSR1, SIGUSR2});
    if (i % 10 == 0) got += set.wait_for(10s).has_value();
    while (lasting.try_wait()) {
    }
  }
  is_over = true;
  sender.join();
  EXPECT_EQ(got, scaled(2000) / 10);
}

TEST_F(signal_set_fork_test, the_child_of_a_fork_ends_by_a_signal_that_the_parent_waits_for) {
  EXPECT_EXIT(
      {
        signal_set set({SIGTERM});
        const int ended = result_of_child([&] {
          try {
            set.wait();
            return 11;
          } catch (const std::system_error& e) {
            if (e.code() != std::errc::operation_not_permitted) return 12;
          }
          {
            signal_set own({SIGUSR1});
            send(SIGUSR1);
            if (own.wait().number != SIGUSR1) return 13;
          }
          send(SIGTERM);
          return 14;
        });
        leave(ended != 1000 + SIGTERM || set.try_wait());
      },
      testing::ExitedWithCode(0), contains("result", 0));
}

}  // namespace
}  // namespace coir::test
