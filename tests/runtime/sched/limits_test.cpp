// The limits of the process: no memory for stacks, no descriptors, no threads.
#include "runtime/io/io.hpp"
#include "tests/runtime/seccomp.hpp"
#include "tests/runtime/support.hpp"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <system_error>
#include <thread>

#include <sys/resource.h>

namespace coir::test {
namespace {

using limits_test = fresh_process_test;

/// Tests with a full descriptor table.
class full_table_test : public fresh_process_test {
 protected:
  void SetUp() override {
    fresh_process_test::SetUp();
#if defined(COIR_TEST_UNDEFINED_SANITIZER)
    GTEST_SKIP() << "the sanitizer opens a pipe to look at an object's type";
#endif
  }
};

/// Lets the process map `bytes` more than it has now.
void limit_memory(std::size_t bytes) {
  std::size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  const rlimit limit{pages * 4096 + bytes, RLIM_INFINITY};
  if (::setrlimit(RLIMIT_AS, &limit) != 0) _exit(3);
}

/// Takes every descriptor that the process may still open.
std::vector<descriptor> take_all_descriptors() {
  const rlimit limit{64, 64};
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) _exit(3);
  std::vector<descriptor> taken;
  for (int fd; (fd = ::dup(STDERR_FILENO)) >= 0;) taken.emplace_back(fd);
  if (errno != EMFILE) _exit(4);
  return taken;
}

void spawn_until_there_is_no_memory() {
  backend();
  std::vector<fiber<>> fibers;
  fibers.reserve(100'000);
  event go;
  int ran = 0;
  limit_memory(100 << 20);
  bool was_refused = false;
  while (!was_refused && fibers.size() < 100'000) {
    try {
      fibers.push_back(spawn([&] {
        go.wait();
        ++ran;
      }));
    } catch (const std::system_error& e) {
      was_refused = e.code() == std::errc::not_enough_memory;
      std::fprintf(stderr, "refused: %s\n", e.what());
    }
  }
  const auto made = static_cast<int>(fibers.size());
  go.set();
  joinall(fibers);
  const bool goes_on = spawn([] { return 5; }).get() == 5;
  std::fprintf(stderr, "made %d, ran %d\n", made, ran);
  _exit(was_refused && made > 10 && ran == made && goes_on ? 0 : 1);
}

TEST_F(limits_test, without_memory_for_a_stack_spawn_throws_and_the_program_goes_on) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers map more than any limit leaves";
#endif
  EXPECT_EXIT(spawn_until_there_is_no_memory(), testing::ExitedWithCode(0),
              contains_all({"refused: coir: no memory for the stack", "COIR_STACK"}));
}

TEST_F(full_table_test,
       the_first_use_with_a_full_descriptor_table_is_a_clear_error_and_can_be_repeated) {
  EXPECT_EXIT(
      {
        std::vector<descriptor> taken = take_all_descriptors();
        try {
          spawn([] {});
          _exit(1);
        } catch (const std::system_error& e) {
          std::fprintf(stderr, "refused: %s\n", e.what());
          if (e.code() != std::errc::too_many_files_open) _exit(2);
        }
        taken.clear();
        _exit(spawn([] { return 5; }).get() == 5 ? 0 : 5);
      },
      testing::ExitedWithCode(0), contains_all({"refused: coir: cannot start", "ulimit -n"}));
}

TEST_F(full_table_test, a_full_descriptor_table_does_not_look_like_a_missing_backend) {
  EXPECT_EXIT(
      {
        ::unsetenv("COIR_BACKEND");
        std::vector<descriptor> taken = take_all_descriptors();
        try {
          backend();
        } catch (const std::system_error&) {
        }
        taken.clear();
        std::fprintf(stderr, "got %s\n", backend());
        _exit(0);
      },
      testing::ExitedWithCode(0), contains("io_uring is not available", 0));
}

TEST_F(full_table_test, another_thread_with_a_full_table_gets_the_error_too) {
  EXPECT_EXIT(
      {
        backend();
        std::vector<descriptor> taken = take_all_descriptors();
        bool was_refused = false;
        std::thread([&] {
          try {
            sleep(1ms);
          } catch (const std::system_error&) {
            was_refused = true;
          }
        }).join();
        sleep(1ms);  // the worker that there was goes on
        _exit(was_refused ? 0 : 1);
      },
      testing::ExitedWithCode(0), contains("terminate", 0));
}

void accept_with_a_full_table() {
  backend();
  const listener door = make_listener();
  const descriptor client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  std::vector<descriptor> taken = take_all_descriptors();
  fiber<int> acceptor = spawn([&] {
    return io::accept(door.socket.get(), nullptr, nullptr, 0, {detail::deadline_after(10s)});
  });
  sleep(2ms);  // it may be parked already when the connection comes
  if (io::connect(client.get(), door.peer(), sizeof door.address, {detail::deadline_after(10s)}) !=
      0)
    _exit(5);
  const int refused = acceptor.get();
  if (refused != -EMFILE) {
    std::fprintf(stderr, "accept: %d\n", refused);
    _exit(6);
  }
  taken.pop_back();
  const int accepted =
      io::accept(door.socket.get(), nullptr, nullptr, 0, {detail::deadline_after(10s)});
  std::fprintf(stderr, "then: %d\n", accepted);
  _exit(accepted >= 0 ? 0 : 7);
}

TEST_F(full_table_test, accept_with_a_full_table_fails_and_the_connection_can_be_accepted_later) {
  EXPECT_EXIT(accept_with_a_full_table(), testing::ExitedWithCode(0), contains("then: "));
}

void wait_with_a_full_table() {
  backend();
  const pipe_ends pipe = make_pipe();
  std::vector<descriptor> taken = take_all_descriptors();
  fiber<> writer = spawn([&] {
    sleep(1ms);
    io::write(pipe.writer.get(), "x", 1, {});
  });
  char byte;
  const bool was_read = io::read(pipe.reader.get(), &byte, 1, {detail::deadline_after(10s)}) == 1;
  pollfd one{pipe.reader.get(), POLLIN, 0};
  const bool polled = io::poll(&one, 1, detail::deadline_after(2ms)) == 0;
  writer.join();
  _exit(was_read && polled ? 0 : 1);
}

TEST_F(full_table_test, calls_that_need_no_descriptor_work_with_a_full_table) {
  EXPECT_EXIT(wait_with_a_full_table(), testing::ExitedWithCode(0), contains("coir:", 0));
}

void offload_without_threads() {
  backend();
  if (!fail_system_call_with(SYS_clone3, EAGAIN)) _exit(3);
  bool was_refused = false;
  try {
    offload([] {});
  } catch (const std::system_error& e) {
    was_refused = true;
    std::fprintf(stderr, "refused: %s\n", e.what());
  }
  sleep(1ms);
  _exit(was_refused && spawn([] { return 5; }).get() == 5 ? 0 : 1);
}

TEST_F(limits_test, without_threads_offload_throws_and_the_program_goes_on) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the thread sanitizer needs threads of its own";
#endif
  EXPECT_EXIT(offload_without_threads(), testing::ExitedWithCode(0), contains("refused: "));
}

}  // namespace
}  // namespace coir::test
