// The main of every test program: names the backend, and ends a test that hangs with its name
// instead of silence.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <linux/io_uring.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

// The longest test takes a few seconds; sanitizers make it ten times that.
constexpr unsigned hang_seconds = 60;

constexpr int exit_skipped = 77;  // COIR_SKIP_CODE in cmake/testing.cmake

char running_test[256];

void report_hang(int) {
  const char head[] = "\ntest hangs: ";
  (void)!write(STDERR_FILENO, head, sizeof head - 1);
  (void)!write(STDERR_FILENO, running_test, std::strlen(running_test));
  (void)!write(STDERR_FILENO, "\n", 1);
  abort();
}

class watchdog : public testing::EmptyTestEventListener {
  void OnTestStart(const testing::TestInfo& info) override {
    std::snprintf(running_test, sizeof running_test, "%s.%s", info.test_suite_name(), info.name());
    alarm(hang_seconds);
  }
  void OnTestEnd(const testing::TestInfo&) override { alarm(0); }
};

// Asks the kernel and not coir, so that the test decides itself when its thread becomes a worker.
bool is_io_uring_forbidden() {
  io_uring_params parameters{};
  const long ring = syscall(SYS_io_uring_setup, 1, &parameters);
  if (ring < 0) return errno == ENOSYS || errno == EPERM;
  close(static_cast<int>(ring));
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  signal(SIGALRM, report_hang);
  testing::UnitTest::GetInstance()->listeners().Append(new watchdog);
  const char* backend = std::getenv("COIR_BACKEND");
  std::printf("backend: %s\n", backend ? backend : "as found");
  if (backend && std::strcmp(backend, "uring") == 0 && is_io_uring_forbidden()) {
    std::puts("skipped: this machine forbids io_uring");
    return exit_skipped;
  }
  return RUN_ALL_TESTS();
}
