// Blocked workers: what the monitor sees, and what it leaves alone.
#include "tests/runtime/support.hpp"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/wait.h>

// With C names and for others to see, so that the dynamic linker knows them.
#define COIR_TEST_FRAME extern "C" [[gnu::noinline, gnu::visibility("default")]]

COIR_TEST_FRAME long coir_test_reads(int fd) {
  char byte;
  const long count = ::read(fd, &byte, 1);
  asm volatile("");  // no tail call
  return count;
}

COIR_TEST_FRAME void coir_test_computes(const std::atomic<bool>& may_end) {
  while (!may_end.load(std::memory_order_relaxed)) asm volatile("");
}

COIR_TEST_FRAME int coir_test_polls(pollfd* fds, nfds_t count) {
  const int ready = ::poll(fds, count, 60'000);
  asm volatile("");
  return ready;
}

namespace coir::test {
namespace {

#if defined(__SANITIZE_THREAD__)
// It keeps back the signal that asks for a stack, and threads from the child of a fork. And it has
// a thread of its own, which might wake somebody for all that the runtime knows.
constexpr bool threads_answer = false;
constexpr bool sees_deadlocks = false;
constexpr bool child_may_make_threads = false;
#else
constexpr bool threads_answer = true;
constexpr bool sees_deadlocks = true;
constexpr bool child_may_make_threads = true;
#endif

#if defined(__SANITIZE_ADDRESS__)
constexpr std::size_t frames_of_sanitizer = 1;  // its own read, which calls that of libc
#else
constexpr std::size_t frames_of_sanitizer = 0;
#endif

constexpr milliseconds limit = 50ms;

/// Keeps what the monitor reports while it lives, and ends the watching then.
class reports {
 public:
  explicit reports(milliseconds longest = limit) {
    watch_blocking(longest, [this](const blocked_fiber& seen) {
      const std::lock_guard guard(lock_);
      seen_.push_back(seen);
      if (at_report_) at_report_();
    });
  }
  reports(const reports&) = delete;
  reports& operator=(const reports&) = delete;
  ~reports() { watch_blocking(0ms); }

  std::vector<blocked_fiber> all() const {
    const std::lock_guard guard(lock_);
    return seen_;
  }
  std::vector<blocked_fiber> of(const std::string& name) const {
    std::vector<blocked_fiber> found;
    for (const blocked_fiber& b : all()) {
      if (b.name == name) found.push_back(b);
    }
    return found;
  }
  /// Calls `then` at each report, on the monitor's thread.
  void at_report(void (*then)()) {
    const std::lock_guard guard(lock_);
    at_report_ = then;
  }

 private:
  mutable std::mutex lock_;
  std::vector<blocked_fiber> seen_;
  void (*at_report_)() = nullptr;
};

/// Waits on a plain thread's terms: the worker of the caller is not needed for it.
template <class Condition>
bool soon(Condition condition) {
  const stopwatch watch;
  while (!condition()) {
    if (watch.elapsed() > 20s) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

bool has_frame(const blocked_fiber& b, const std::string& part) {
  return std::any_of(b.stack.begin(), b.stack.end(),
                     [&](const std::string& frame) { return frame.find(part) != frame.npos; });
}

std::string inode_of(int fd) {
  char target[64] = {};
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  EXPECT_GT(::readlink(path.c_str(), target, sizeof target - 1), 0);
  return target;
}

using blocking_test = runtime_test;
using fresh_blocking_test = fresh_process_test;

TEST_F(blocking_test, a_fiber_in_a_blocking_read_is_reported_with_call_pipe_name_and_stack) {
  if (!threads_answer) GTEST_SKIP() << "the sanitizer keeps back the signal that asks for a stack";
  const pipe_ends pipe = make_pipe();
  reports seen;
  workers set({.count = 1, .name = "blocked"});
  fiber<long> blocked =
      set.spawn_on(0, {.name = "reader"}, [&] { return coir_test_reads(pipe.reader.get()); });
  for (int i = 0; i < 3; ++i) set.spawn_on(0, [] { sleep(1h); });
  ASSERT_TRUE(eventually([&] { return !seen.of("reader").empty(); }));
  const blocked_fiber b = seen.of("reader").at(0);
  EXPECT_EQ(b.id, blocked.id());
  EXPECT_EQ(b.activity,
            "in read(" + std::to_string(pipe.reader.get()) + "): " + inode_of(pipe.reader.get()));
  EXPECT_TRUE(has_frame(b, "coir_test_reads")) << b.text();
  EXPECT_EQ(b.no_stack_because, "");
  EXPECT_GE(b.held, limit);
  EXPECT_EQ(b.worker, "blocked-0");
  EXPECT_EQ(b.number, 0);
  EXPECT_NE(b.thread_id, ::gettid());
  EXPECT_NE(b.site, nullptr);
  EXPECT_NE(b.spawned_at, "");
  EXPECT_FALSE(b.is_loop);
  EXPECT_GE(b.times, 1U);
  EXPECT_TRUE(contains_all({"fiber \"reader\" (#" + std::to_string(b.id) + ") has held worker",
                            "it is in read(", "coir_test_reads", "spawned at "})
                  .MatchAndExplain(b.text()))
      << b.text();
  sleep(3 * limit);
  EXPECT_EQ(seen.of("reader").size(), 1U) << "one hold is reported once";
  ASSERT_EQ(::write(pipe.writer.get(), "x", 1), 1);
  EXPECT_EQ(blocked.get(), 1) << "the signal does not end the read";
  set.kill();
}

TEST_F(blocking_test, a_fiber_that_computes_is_reported_as_on_the_processor) {
  reports seen;
  std::atomic<bool> may_end{false};
  std::thread other([&] {
    fiber<> hog = spawn({.name = "hog"}, [&] { coir_test_computes(may_end); });
    hog.join();
  });
  const bool is_seen = eventually([&] { return !seen.of("hog").empty(); });
  may_end = true;
  other.join();
  ASSERT_TRUE(is_seen);
  const blocked_fiber b = seen.of("hog").at(0);
  EXPECT_TRUE(b.activity.starts_with("on the processor, for ")) << b.activity;
  if (threads_answer) {
    EXPECT_TRUE(has_frame(b, "coir_test_computes")) << b.text();
  }
  EXPECT_EQ(b.fibers_behind, 1U) << "main, which joins it";
  EXPECT_EQ(b.number, -1);
}

TEST_F(blocking_test, kinds_of_descriptors_and_calls_are_told_apart) {
  reports seen;
  const socket_ends tcp = make_tcp_pair();
  const socket_ends local = make_socket_pair();
  const descriptor event_number(::eventfd(0, EFD_CLOEXEC));
  const descriptor polled(::eventfd(0, EFD_CLOEXEC));  // what nobody takes away from the poll
  const descriptor file = make_file();
  const descriptor same_file(
      ::open(("/proc/self/fd/" + std::to_string(file.get())).c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(::flock(file.get(), LOCK_EX), 0);
  sockaddr_in address{};
  socklen_t size = sizeof address;
  ASSERT_EQ(::getsockname(tcp.one.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);

  std::vector<std::thread> threads;
  const auto block = [&](const char* name, auto call) {
    threads.emplace_back([name, call] { spawn({.name = name}, call).join(); });
  };
  block("tcp", [&] { coir_test_reads(tcp.one.get()); });
  block("local", [&] { coir_test_reads(local.one.get()); });
  block("event", [&] {
    std::uint64_t count;
    (void)!::read(event_number.get(), &count, sizeof count);
  });
  block("polls", [&] {
    pollfd fds[2] = {{polled.get(), POLLIN, 0}, {tcp.one.get(), POLLIN, 0}};
    while (coir_test_polls(fds, 2) < 0 && errno == EINTR) {
    }
  });
  block("lock", [&] { ::flock(same_file.get(), LOCK_EX); });
  const auto activity_of = [&](const char* name) {
    EXPECT_TRUE(eventually([&] { return !seen.of(name).empty(); })) << name;
    const auto found = seen.of(name);
    return found.empty() ? std::string() : found[0].activity;
  };
  const std::string port = std::to_string(ntohs(address.sin_port));
  const std::string tcp_words = "TCP socket 127.0.0.1:" + port + " to 127.0.0.1:";
  EXPECT_NE(activity_of("tcp").find("): " + tcp_words), std::string::npos) << activity_of("tcp");
  EXPECT_NE(activity_of("local").find("): unix socket"), std::string::npos) << activity_of("local");
  EXPECT_NE(activity_of("event").find("): eventfd"), std::string::npos) << activity_of("event");
  EXPECT_NE(activity_of("polls").find("poll: "), std::string::npos) << activity_of("polls");
  EXPECT_NE(activity_of("polls").find(" is eventfd, "), std::string::npos) << activity_of("polls");
  EXPECT_NE(activity_of("polls").find(tcp_words), std::string::npos) << activity_of("polls");
  EXPECT_NE(activity_of("lock").find("flock("), std::string::npos) << activity_of("lock");
  EXPECT_NE(activity_of("lock").find("): file /"), std::string::npos) << activity_of("lock");

  const std::uint64_t one = 1;
  ASSERT_EQ(::write(event_number.get(), &one, sizeof one), 8);
  ASSERT_EQ(::write(polled.get(), &one, sizeof one), 8);
  ASSERT_EQ(::send(tcp.other.get(), "x", 1, 0), 1);
  ASSERT_EQ(::send(local.other.get(), "x", 1, 0), 1);
  ASSERT_EQ(::flock(file.get(), LOCK_UN), 0);
  for (std::thread& t : threads) t.join();
}

TEST_F(blocking_test, workers_that_sleep_or_switch_are_left_alone) {
  reports seen;
  workers set(2);
  for (int i = 0; i < 4; ++i) {
    set.spawn([] {
      const stopwatch watch;
      while (watch.elapsed() < 8 * limit) yield();
    });
    set.spawn([] { sleep(8 * limit); });
  }
  set.join();
  sleep(4 * limit);
  for (const blocked_fiber& b : seen.all()) ADD_FAILURE() << b.text();
}

TEST_F(blocking_test, a_fiber_that_is_alone_on_its_worker_is_left_alone) {
  const pipe_ends pipe = make_pipe();
  reports seen;
  workers set(1);
  fiber<long> alone =
      set.spawn({.name = "alone"}, [&] { return coir_test_reads(pipe.reader.get()); });
  std::thread main_alone([&] {
    backend();  // makes the thread a worker
    coir_test_reads(pipe.reader.get());
  });
  // The other one shows that the monitor has looked for long enough
  const pipe_ends other_pipe = make_pipe();
  std::thread other(
      [&] { spawn({.name = "shown"}, [&] { coir_test_reads(other_pipe.reader.get()); }).join(); });
  EXPECT_TRUE(eventually([&] { return !seen.of("shown").empty(); }));
  sleep(2 * limit);
  EXPECT_EQ(seen.all().size(), 1U);
  ASSERT_EQ(::write(pipe.writer.get(), "xx", 2), 2);
  ASSERT_EQ(::write(other_pipe.writer.get(), "x", 1), 1);
  other.join();
  main_alone.join();
  EXPECT_EQ(alone.get(), 1);
}

TEST_F(blocking_test, fibers_behind_a_blocked_one_that_have_not_begun_are_taken_over_by_others) {
  const pipe_ends pipe = make_pipe();
  workers set(2);
  std::atomic<int> done{0};
  std::atomic<int> elsewhere{0};
  fiber<> blocked = set.spawn_on(0, [&] {
    for (int i = 0; i < 10; ++i) {
      set.spawn([&] {
        if (workers::current_number() == 1) ++elsewhere;
        ++done;
      });
    }
    coir_test_reads(pipe.reader.get());
  });
  EXPECT_TRUE(eventually([&] { return done == 10; })) << "the worker stays blocked meanwhile";
  EXPECT_EQ(elsewhere, 10);
  EXPECT_FALSE(blocked.ready());
  ASSERT_EQ(::write(pipe.writer.get(), "x", 1), 1);
  set.join();
}

TEST_F(blocking_test, the_report_says_how_many_fibers_wait_behind) {
  const pipe_ends pipe = make_pipe();
  reports seen;
  workers set(1);
  for (int i = 0; i < 3; ++i) set.spawn_on(0, [] { sleep(1h); });
  fiber<> blocked = set.spawn_on(0, {.name = "many"}, [&] {
    sleep(1ms);
    for (int i = 0; i < 5; ++i) set.spawn([] {});
    coir_test_reads(pipe.reader.get());
  });
  ASSERT_TRUE(eventually([&] { return !seen.of("many").empty(); }));
  const blocked_fiber b = seen.of("many").at(0);
  EXPECT_EQ(b.fibers_behind, 3U);
  EXPECT_EQ(b.fibers_waiting, 5U);
  EXPECT_EQ(count_of(b.text(), "3 other fibers wait, and 5 that have not begun"), 1) << b.text();
  ASSERT_EQ(::write(pipe.writer.get(), "x", 1), 1);
  blocked.join();
  set.kill();
}

TEST_F(blocking_test, fibers_that_were_sent_to_a_blocked_worker_wait_behind_too) {
  const pipe_ends pipe = make_pipe();
  reports seen;
  workers set(1);
  std::atomic<bool> has_begun{false};
  fiber<> blocked = set.spawn_on(0, {.name = "first"}, [&] {
    has_begun = true;
    coir_test_reads(pipe.reader.get());
  });
  ASSERT_TRUE(eventually([&] { return has_begun.load(); }));
  for (int i = 0; i < 3; ++i) set.spawn_on(0, [] {});
  ASSERT_TRUE(eventually([&] { return !seen.of("first").empty(); }));
  EXPECT_EQ(seen.of("first").at(0).fibers_behind, 3U);
  ASSERT_EQ(::write(pipe.writer.get(), "x", 1), 1);
  blocked.join();
  set.join();
}

TEST_F(blocking_test, holds_at_one_place_are_counted_with_their_time) {
  if (!threads_answer) GTEST_SKIP() << "the sanitizer keeps back the signal that asks for a stack";
  const pipe_ends pipe = make_pipe();
  constexpr int rounds = 3;
  reports seen;
  std::thread blocked([&] {
    spawn({.name = "again"}, [&] {
      for (int i = 0; i < rounds; ++i) {
        coir_test_reads(pipe.reader.get());
        yield();
      }
    }).join();
  });
  for (std::size_t i = 1; i <= rounds; ++i) {
    EXPECT_TRUE(eventually([&] { return seen.of("again").size() == i; }));
    ASSERT_EQ(::write(pipe.writer.get(), "x", 1), 1);
  }
  blocked.join();
  const auto holds = seen.of("again");
  ASSERT_EQ(holds.size(), 3U);
  for (std::size_t i = 1; i < rounds; ++i) EXPECT_EQ(holds[i].times, holds[i - 1].times + 1);
  const auto is_its_place = [](const blocking_place& place) {
    return place.times >= rounds && place.frames.size() > frames_of_sanitizer &&
           place.frames[frames_of_sanitizer].find("coir_test_reads") != std::string::npos;
  };
  const auto has_its_time = [&] {
    const auto places = blocking_places();
    const auto found = std::find_if(places.begin(), places.end(), is_its_place);
    return found != places.end() && found->total >= rounds * limit && found->longest >= limit &&
           found->activity.starts_with("in read(");
  };
  EXPECT_TRUE(eventually(has_its_time)) << "once the last of them was seen to be over";
}

TEST_F(blocking_test, without_the_signal_there_is_a_report_that_says_why_it_has_no_stack) {
  const pipe_ends pipe = make_pipe();
  reports seen;
  std::thread blocking_signals([&] {
    sigset_t urgent;
    sigemptyset(&urgent);
    sigaddset(&urgent, SIGURG);
    pthread_sigmask(SIG_BLOCK, &urgent, nullptr);
    spawn({.name = "deaf"}, [&] { coir_test_reads(pipe.reader.get()); }).join();
  });
  EXPECT_TRUE(eventually([&] { return !seen.of("deaf").empty(); }));
  ASSERT_EQ(::write(pipe.writer.get(), "x", 1), 1);
  blocking_signals.join();
  const blocked_fiber b = seen.of("deaf").at(0);
  EXPECT_TRUE(b.stack.empty());
  EXPECT_EQ(b.no_stack_because, "the thread has blocked SIGURG");
  EXPECT_TRUE(b.activity.starts_with("in read(")) << b.activity;

  static std::atomic<int> came{0};
  struct sigaction own {};
  struct sigaction before {};
  own.sa_handler = [](int) { ++came; };
  ASSERT_EQ(::sigaction(SIGURG, &own, &before), 0);
  std::thread handling(
      [&] { spawn({.name = "handles"}, [&] { coir_test_reads(pipe.reader.get()); }).join(); });
  EXPECT_TRUE(eventually([&] { return !seen.of("handles").empty(); }));
  struct sigaction after {};
  ASSERT_EQ(::sigaction(SIGURG, &before, &after), 0);
  EXPECT_EQ(after.sa_handler, own.sa_handler) << "the program's handler stays";
  ASSERT_EQ(::write(pipe.writer.get(), "x", 1), 1);
  handling.join();
  EXPECT_EQ(seen.of("handles").at(0).no_stack_because,
            "the program has an action of its own for SIGURG");
  EXPECT_EQ(came, 0);
}

TEST_F(blocking_test, watching_can_be_ended_and_begun_again_also_by_the_handler) {
  const pipe_ends pipe = make_pipe();
  static std::atomic<int> calls{0};
  const auto block_once = [&](auto condition) {
    std::thread blocked([&] { spawn([&] { coir_test_reads(pipe.reader.get()); }).join(); });
    const bool is_so = soon(condition);
    EXPECT_EQ(::write(pipe.writer.get(), "x", 1), 1);
    blocked.join();
    return is_so;
  };
  watch_blocking(limit, [](const blocked_fiber&) {
    ++calls;
    watch_blocking(0ms);
  });
  EXPECT_TRUE(block_once([] { return calls == 1; }));
  const stopwatch watch;
  EXPECT_TRUE(block_once([&] { return watch.elapsed() > 4 * limit; }));
  EXPECT_EQ(calls, 1) << "it has ended the watching";
  reports seen;
  EXPECT_TRUE(block_once([&] { return !seen.all().empty(); }));
}

TEST_F(blocking_test, workers_may_come_and_go_while_it_watches) {
  reports seen(1ms);
  for (int round = 0; round < scaled(40); ++round) {
    workers set(2);
    for (int i = 0; i < 20; ++i) {
      set.spawn([] {
        const stopwatch watch;
        while (watch.elapsed() < microseconds(300)) {
        }
        yield();
      });
    }
    std::thread([] { spawn([] { std::this_thread::sleep_for(2ms); }).join(); }).join();
    set.join();
  }
  const pipe_ends pipe = make_pipe();
  std::thread blocked(
      [&] { spawn({.name = "last"}, [&] { coir_test_reads(pipe.reader.get()); }).join(); });
  EXPECT_TRUE(eventually([&] { return !seen.of("last").empty(); })) << "it still works";
  ASSERT_EQ(::write(pipe.writer.get(), "x", 1), 1);
  blocked.join();
}

TEST_F(blocking_test, an_error_of_the_handler_is_reported_and_it_goes_on) {
  const pipe_ends pipe = make_pipe();
  static std::atomic<int> calls{0};
  watch_blocking(limit, [](const blocked_fiber&) {
    ++calls;
    throw std::runtime_error("of the handler");
  });
  stderr_capture said;
  std::thread blocked([&] {
    spawn([&] {
      for (int i = 0; i < 2; ++i, yield()) coir_test_reads(pipe.reader.get());
    }).join();
  });
  for (int i = 1; i <= 2; ++i) {
    EXPECT_TRUE(soon([&] { return calls == i; }));
    EXPECT_EQ(::write(pipe.writer.get(), "x", 1), 1);
  }
  blocked.join();
  watch_blocking(0ms);
  EXPECT_EQ(count_of(said.text(), "coir: the handler of blocked fibers failed: of the handler\n"),
            2);
}

/// Blocks a fiber of the calling thread for a while, with main behind it.
void block_for(milliseconds length) {
  spawn({.name = "sleeper"}, [=] { std::this_thread::sleep_for(length); }).join();
}

TEST_F(fresh_blocking_test,
       the_environment_switches_it_on_with_reports_on_stderr_and_totals_at_exit) {
  EXPECT_EXIT(
      {
        ::setenv("COIR_MAX_BLOCKING_MS", "20", 1);
        const stopwatch watch;
        while (blocking_places().empty() && watch.elapsed() < 20s) block_for(100ms);
        block_for(100ms);
        sleep(50ms);
        std::exit(0);
      },
      testing::ExitedWithCode(0),
      contains_all({"coir: fiber \"sleeper\" (#", ") has held worker ", "1 other fiber waits",
                    "coir:   it is in ", "coir:   stack:\n", "clock_nanosleep",
                    " times, at 1 place:", "ms the longest, in "}));
}

TEST_F(fresh_blocking_test, an_environment_that_makes_no_sense_is_reported) {
  EXPECT_EXIT(
      {
        ::setenv("COIR_MAX_BLOCKING_MS", "soon", 1);
        backend();
        _exit(0);
      },
      testing::ExitedWithCode(0), contains("COIR_MAX_BLOCKING_MS=soon is no number"));
}

TEST_F(fresh_blocking_test, without_being_asked_there_is_no_thread) {
  EXPECT_EXIT(
      {
        ::unsetenv("COIR_MAX_BLOCKING_MS");
        block_for(50ms);
        const bool is_single = ::system("test $(ls /proc/$PPID/task | wc -l) -eq 1") == 0;
        _exit(is_single && blocking_places().empty() ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

TEST_F(fresh_blocking_test, a_deadlock_is_still_found_while_it_watches) {
  if (!sees_deadlocks) GTEST_SKIP() << "the sanitizer has a thread of its own";
  EXPECT_EXIT(
      {
        watch_blocking(50ms);
        event never_set;
        try {
          never_set.wait();
        } catch (const deadlock&) {
          _exit(0);
        }
        _exit(1);
      },
      testing::ExitedWithCode(0), "");
}

TEST_F(fresh_blocking_test, a_process_that_ends_while_it_watches_ends_well) {
  const without_leak_check unneeded;
  for (int i = 0; i < 5; ++i) {
    EXPECT_EXIT(
        {
          watch_blocking(1ms, [](const blocked_fiber&) {});
          static std::atomic<bool> never_true{false};
          static workers* const set = new workers(2);
          for (int k = 0; k < 2; ++k) {
            set->spawn_on(static_cast<std::size_t>(k), [] { sleep(1h); });
            set->spawn_on(static_cast<std::size_t>(k), [] {
              while (!never_true) std::this_thread::sleep_for(microseconds(100));
            });
          }
          sleep(20ms);
          std::exit(0);
        },
        testing::ExitedWithCode(0), "");
  }
}

TEST_F(fresh_blocking_test, the_child_of_a_fork_watches_afresh) {
  if (!child_may_make_threads) GTEST_SKIP() << "the sanitizer forbids threads after a fork";
  EXPECT_EXIT(
      {
        static std::atomic<int> calls{0};
        watch_blocking(20ms, [](const blocked_fiber&) { ++calls; });
        const stopwatch watch;
        while (calls == 0 && watch.elapsed() < 20s) block_for(100ms);
        if (calls == 0) _exit(1);
        const pid_t pid = ::fork();
        calls = 0;
        if (pid == 0) {
          if (!blocking_places().empty()) _exit(2);
          const stopwatch since_fork;
          while (calls == 0 && since_fork.elapsed() < 20s) {
            sleep(1ms);
            block_for(100ms);
          }
          _exit(calls > 0 ? 0 : 3);
        }
        int status = -1;
        ::waitpid(pid, &status, 0);
        if (status != 0) std::fprintf(stderr, "the child ended with %x\n", status);
        const stopwatch since_child;
        while (calls == 0 && since_child.elapsed() < 20s) block_for(100ms);
        _exit(status == 0 && calls > 0 ? 0 : 4);
      },
      testing::ExitedWithCode(0), contains("the child ended", 0));
}

TEST_F(blocking_test, it_sleeps_while_all_workers_do) {
  reports seen(1ms);
  workers set(2);
  const auto switches_of_monitor = [] {
    std::uint64_t found = 0;
    std::FILE* const list = ::popen(
        "for t in /proc/$PPID/task/*; do test \"$(cat $t/comm)\" = coir-monitor && "
        "sed -n 's/^voluntary_ctxt_switches:[^0-9]*//p' $t/status; done",
        "r");
    char line[64] = {};
    while (std::fgets(line, sizeof line, list)) found = std::strtoull(line, nullptr, 10);
    ::pclose(list);
    return found;
  };
  // A fiber that sleeps for long leaves all workers, this thread's too, in the kernel
  const auto rests = [&] {
    const std::uint64_t before = switches_of_monitor();
    sleep(300ms);
    return before > 0 && switches_of_monitor() - before < 100;  // popen holds this worker a little
  };
  EXPECT_TRUE(eventually(rests)) << "at a period of 1 ms it would be 300 times";
}

}  // namespace
}  // namespace coir::test
