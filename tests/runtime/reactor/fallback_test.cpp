// What happens where io_uring is forbidden or missing, and with a COIR_BACKEND that cannot be had.
#include "tests/runtime/seccomp.hpp"
#include "tests/runtime/support.hpp"

#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <system_error>
#include <thread>

namespace coir::test {
namespace {

using fallback_test = fresh_process_test;

/// Does with the backend what a program does; exits with 0 when it all works on epoll.
void use_epoll() {
  if (std::string_view(backend()) != "epoll") _exit(1);
  const pipe_ends pipe = make_pipe();
  queue<int> q(1);
  fiber<> producer = spawn([&] {
    for (int i = 0; i < 100; ++i) q.put(i);
  });
  int sum = 0;
  for (int i = 0; i < 100; ++i) sum += q.get();
  sleep(2ms);
  std::string there;
  std::thread([&] { there = backend(); }).join();
  _exit(sum == 4950 && there == "epoll" && offload([] { return 1; }) == 1 ? 0 : 2);
}

void use_epoll_without_uring(int error) {
  ::unsetenv("COIR_BACKEND");
  if (!fail_system_call_with(SYS_io_uring_setup, error)) _exit(3);
  use_epoll();
}

TEST_F(fallback_test, where_io_uring_is_forbidden_epoll_does_its_work_and_the_reason_is_said_once) {
  EXPECT_EXIT(use_epoll_without_uring(EPERM), testing::ExitedWithCode(0),
              contains("coir: io_uring is not available"));
  EXPECT_EXIT(use_epoll_without_uring(EPERM), testing::ExitedWithCode(0),
              contains_all({"Operation not permitted", "COIR_BACKEND=epoll"}));
}

TEST_F(fallback_test, where_io_uring_is_missing_epoll_does_its_work_and_the_reason_is_said_once) {
  EXPECT_EXIT(use_epoll_without_uring(ENOSYS), testing::ExitedWithCode(0),
              contains("coir: io_uring is not available"));
}

TEST_F(fallback_test, epoll_that_was_asked_for_says_nothing) {
  EXPECT_EXIT(
      {
        ::setenv("COIR_BACKEND", "epoll", 1);
        if (!fail_system_call_with(SYS_io_uring_setup, EPERM)) _exit(3);
        use_epoll();
      },
      testing::ExitedWithCode(0), contains("coir:", 0));
}

/// Exits with 0 when the first use of coir throws an Error, whose text goes to stderr.
template <class Error>
void expect_refusal() {
  try {
    backend();
  } catch (const Error& e) {
    std::fprintf(stderr, "refused: %s\n", e.what());
    _exit(0);
  }
  _exit(1);
}

TEST_F(fallback_test, io_uring_that_was_asked_for_and_is_forbidden_is_a_clear_error) {
  EXPECT_EXIT(
      {
        ::setenv("COIR_BACKEND", "uring", 1);
        if (!fail_system_call_with(SYS_io_uring_setup, EPERM)) _exit(3);
        expect_refusal<std::system_error>();
      },
      testing::ExitedWithCode(0),
      contains_all({"refused: coir: cannot start", "io_uring", "COIR_BACKEND=epoll"}));
}

TEST_F(fallback_test, a_backend_that_does_not_exist_is_a_clear_error) {
  EXPECT_EXIT(
      {
        ::setenv("COIR_BACKEND", "kqueue", 1);
        expect_refusal<std::invalid_argument>();
      },
      testing::ExitedWithCode(0),
      contains_all({"refused:", "COIR_BACKEND=kqueue", "uring", "epoll"}));
}

TEST_F(fallback_test, a_spawn_that_cannot_get_a_backend_throws_and_the_program_goes_on) {
  EXPECT_EXIT(
      {
        ::setenv("COIR_BACKEND", "kqueue", 1);
        bool was_refused = false;
        try {
          spawn([] {});
        } catch (const std::invalid_argument&) {
          was_refused = true;
        }
        ::setenv("COIR_BACKEND", "epoll", 1);
        _exit(was_refused && spawn([] { return 5; }).get() == 5 ? 0 : 1);
      },
      testing::ExitedWithCode(0), contains("terminate", 0));
}

TEST_F(fallback_test, an_empty_setting_is_none) {
  EXPECT_EXIT(
      {
        ::setenv("COIR_BACKEND", "", 1);
        const std::string_view got = backend();
        _exit(got == "io_uring" || got == "epoll" ? 0 : 1);
      },
      testing::ExitedWithCode(0), contains("refused", 0));
}

TEST_F(fallback_test, epoll_works_without_epoll_pwait2) {
  EXPECT_EXIT(
      {
        ::setenv("COIR_BACKEND", "epoll", 1);
        if (!fail_system_call_with(SYS_epoll_pwait2, ENOSYS)) _exit(3);
        const stopwatch watch;
        sleep(20ms);
        if (watch.elapsed() < 20ms || watch.elapsed() > 5s) _exit(4);
        use_epoll();
      },
      testing::ExitedWithCode(0), contains("coir:", 0));
}

}  // namespace
}  // namespace coir::test
