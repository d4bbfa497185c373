// Running over the end of a fiber's stack ends the process with a report that says what to do.
#include "tests/runtime/seccomp.hpp"
#include "tests/runtime/support.hpp"

#include <csignal>
#include <cstdio>
#include <thread>

#include <sys/mman.h>

namespace coir::test {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool keeps_the_report = false;  // the sanitizer's own handler of faults comes first
#else
constexpr bool keeps_the_report = true;
#endif

class stack_overflow_test : public fresh_process_test {
 protected:
  void SetUp() override {
    if (!keeps_the_report) GTEST_SKIP() << "the sanitizer reports faults itself";
    fresh_process_test::SetUp();
  }
};

// Each level is used after the next one returns, so that no compiler makes a loop of it.
[[gnu::noinline]] int recurse(int depth) {
  volatile char frame[512];
  frame[0] = static_cast<char>(depth);
  return depth < 0 ? 0 : recurse(depth + 1) + frame[0];
}

void overflow(std::size_t stack_bytes) {
  fiber<int> f = spawn(attributes{.name = "deep-diver", .stack_bytes = stack_bytes}, recurse, 0);
  _exit(f.get() == 1);
}

TEST_F(stack_overflow_test, the_report_names_fiber_size_site_and_remedy) {
  EXPECT_EXIT(overflow(64 * 1024), testing::KilledBySignal(SIGABRT),
              contains_all({"stack overflow", "deep-diver", "64 KiB", "runtime_fiber_test",
                            "COIR_STACK", "stack_bytes"}));
}

TEST_F(stack_overflow_test, it_is_reported_once) {
  EXPECT_EXIT(overflow(64 * 1024), testing::KilledBySignal(SIGABRT), contains("stack overflow"));
}

TEST_F(stack_overflow_test, a_stack_of_the_default_size_is_guarded_too) {
  EXPECT_EXIT(overflow(0), testing::KilledBySignal(SIGABRT),
              contains_all({"stack overflow", "256 KiB"}));
}

TEST_F(stack_overflow_test, the_environment_sets_the_default_size) {
  EXPECT_EXIT(
      {
        ::setenv("COIR_STACK", "131072", 1);
        overflow(0);
      },
      testing::KilledBySignal(SIGABRT), contains_all({"stack overflow", "128 KiB"}));
}

TEST_F(stack_overflow_test, a_fiber_of_another_thread_is_reported_too) {
  EXPECT_EXIT(std::thread(overflow, 64 * 1024).join(), testing::KilledBySignal(SIGABRT),
              contains_all({"stack overflow", "deep-diver"}));
}

TEST_F(stack_overflow_test, it_does_not_reach_the_neighbours_memory) {
  EXPECT_EXIT(
      {
        event never_set;
        std::vector<fiber<>> neighbours;
        for (int i = 0; i < 100; ++i) neighbours.push_back(spawn([&] { never_set.wait(); }));
        yield();
        overflow(0);
      },
      testing::KilledBySignal(SIGABRT), contains_all({"stack overflow", "deep-diver"}));
}

TEST_F(stack_overflow_test, mprotect_guards_where_the_kernel_lacks_guard_advice) {
  constexpr int madv_guard_install = 102;
  EXPECT_EXIT(
      {
        if (!fail_system_call_with(SYS_madvise, EINVAL, {2, madv_guard_install})) _exit(3);
        if (::madvise(nullptr, 0, madv_guard_install) == 0) _exit(4);
        overflow(64 * 1024);
      },
      testing::KilledBySignal(SIGABRT), contains_all({"stack overflow", "deep-diver"}));
}

TEST_F(stack_overflow_test, without_guard_advice_many_fibers_still_run_and_the_limit_is_said_once) {
  constexpr int madv_guard_install = 102;
  EXPECT_EXIT(
      {
        if (!fail_system_call_with(SYS_madvise, EINVAL, {2, madv_guard_install})) _exit(3);
        std::vector<fiber<>> fibers;
        int ran = 0;
        event go;
        for (int i = 0; i < 40'000; ++i) {
          fibers.push_back(spawn([&] {
            go.wait();
            ++ran;
          }));
        }
        go.set();
        joinall(fibers);
        std::fprintf(stderr, "ran %d\n", ran);
        _exit(0);
      },
      testing::ExitedWithCode(0), contains_all({"ran 40000", "vm.max_map_count"}));
}

/// In the page that no program has, but not null, of which a sanitizer would tell first.
auto* const unmapped = reinterpret_cast<volatile int*>(64);

TEST_F(stack_overflow_test, any_other_fault_keeps_its_usual_effect) {
  EXPECT_EXIT(
      {
        fiber<> f = spawn([] {
          volatile int* volatile nowhere = unmapped;
          *nowhere = 1;
        });
        f.join();
        _exit(0);
      },
      testing::KilledBySignal(SIGSEGV), contains("stack overflow", 0));
}

TEST_F(stack_overflow_test, a_fault_signal_that_somebody_sends_keeps_its_usual_effect) {
  EXPECT_EXIT(
      {
        spawn([] { std::raise(SIGSEGV); }).join();
        _exit(0);
      },
      testing::KilledBySignal(SIGSEGV), contains("stack overflow", 0));
}

void leave_with_seven(int) { _exit(7); }

TEST_F(stack_overflow_test, any_other_fault_reaches_the_handler_that_was_there_before) {
  EXPECT_EXIT(
      {
        std::signal(SIGSEGV, leave_with_seven);
        fiber<> f = spawn([] {
          volatile int* volatile nowhere = unmapped;
          *nowhere = 1;
        });
        f.join();
        _exit(0);
      },
      testing::ExitedWithCode(7), contains("stack overflow", 0));
}

}  // namespace
}  // namespace coir::test
