// Unwinders see a fiber's stack end at its entry: the C++ runtime's, backtrace(3), and a debugger.
#include "tests/runtime/support.hpp"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include <execinfo.h>
#include <unwind.h>

namespace coir::test {

// A global name, for the debugger to stop at.
extern "C" [[gnu::noinline]] int coir_test_probe(int depth);

namespace {

using backtrace_test = runtime_test;

struct walk {
  int frames = 0;
  bool ended = false;
};

_Unwind_Reason_Code count_frame(_Unwind_Context*, void* argument) {
  walk& w = *static_cast<walk*>(argument);
  return ++w.frames > 200 ? _URC_NORMAL_STOP : _URC_NO_REASON;
}

walk walk_stack() {
  walk w;
  w.ended = _Unwind_Backtrace(count_frame, &w) == _URC_END_OF_STACK;
  return w;
}

[[gnu::noinline]] int probe_below(int depth) {
  if (depth == 0) return coir_test_probe(0);
  const int result = probe_below(depth - 1);
  asm volatile("" : : "r"(result) : "memory");  // keeps the frame
  return result;
}

TEST_F(backtrace_test, the_unwinder_reaches_the_end_of_the_stack) {
  const walk w = spawn(walk_stack).get();
  EXPECT_TRUE(w.ended);
  EXPECT_GT(w.frames, 2);
  EXPECT_LT(w.frames, 60);
}

TEST_F(backtrace_test, backtrace_ends_inside_a_fiber) {
  const int frames = spawn([] {
                       std::array<void*, 200> addresses;
                       return ::backtrace(addresses.data(), static_cast<int>(addresses.size()));
                     }).get();
  EXPECT_GT(frames, 2);
  EXPECT_LT(frames, 60);
}

TEST_F(backtrace_test, a_fiber_calls_the_probe) { EXPECT_EQ(spawn(probe_below, 5).get(), 4711); }

TEST_F(backtrace_test, an_exception_crosses_many_frames_of_a_fiber) {
  struct thrower {
    static int down(int depth) {
      if (depth == 0) throw 5;
      return down(depth - 1) + 1;
    }
  };
  EXPECT_THROW(spawn([] {
                 try {
                   return thrower::down(500);
                 } catch (int n) {
                   throw static_cast<long>(n);
                 }
               }).get(),
               long);
}

/// What `command` writes to stdout and stderr.
std::string output_of(const std::string& command) {
  std::string text;
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> output(
      ::popen((command + " 2>&1").c_str(), "r"), ::pclose);
  if (!output) return text;
  char part[4096];
  while (const std::size_t size = std::fread(part, 1, sizeof part, output.get()))
    text.append(part, size);
  return text;
}

TEST_F(backtrace_test, a_debugger_unwinds_to_the_entry_and_stops) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers and debuggers do not go together";
#endif
  if (std::system("gdb --version > /dev/null 2>&1") != 0) GTEST_SKIP() << "needs gdb";
  char self[4096] = {};
  ASSERT_GT(::readlink("/proc/self/exe", self, sizeof self - 1), 0);
  const std::string text =
      output_of(std::string("timeout 50 gdb -nx -batch -iex 'set debuginfod enabled off' -ex 'set "
                            "breakpoint pending on'"
                            " -ex 'break coir_test_probe' -ex run -ex bt --args ") +
                self + " --gtest_filter=backtrace_test.a_fiber_calls_the_probe");
  if (text.find("Breakpoint 1,") == text.npos) GTEST_SKIP() << "gdb cannot trace here: " << text;
  const std::string trace = text.substr(text.find("Breakpoint 1,"));
  EXPECT_EQ(count_of(trace, "probe_below (depth="), 6) << trace;
  EXPECT_EQ(trace.find("corrupt stack"), trace.npos) << trace;
  EXPECT_EQ(trace.find("previous frame"), trace.npos) << trace;
  EXPECT_EQ(trace.find("Cannot access memory"), trace.npos) << trace;
  EXPECT_EQ(trace.find(" in ?? ()"), trace.npos) << trace;
  EXPECT_NE(trace.find("coir::detail::"), trace.npos) << trace;
}

}  // namespace

extern "C" int coir_test_probe(int depth) {
  asm volatile("" : "+r"(depth));
  return 4711 + depth;
}

}  // namespace coir::test
