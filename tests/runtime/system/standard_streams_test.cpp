// standard_input, standard_output and standard_error, in processes whose streams are the test's.
#include <coir/file.hpp>

#include "tests/runtime/forking.hpp"
#include "tests/runtime/system/support.hpp"

#include <pty.h>

namespace coir::test {
namespace {

using standard_streams_test = fresh_process_test;

TEST_F(standard_streams_test, a_pipe_is_read_line_by_line_and_its_mode_left_alone) {
  EXPECT_EXIT(
      {
        const pipe_ends pipe = make_pipe();
        ::dup2(pipe.reader.get(), 0);
        int turns = 0;
        fiber<> slow = spawn([&] {
          for (; turns < 3; ++turns) sleep(2ms);
          (void)!::write(pipe.writer.get(), "typed\n", 6);
        });
        const bool is_read = standard_input().read_line() == "typed" && turns == 3;
        slow.join();
        const bool is_same = &standard_input() == &standard_input();
        standard_input().close();  // does nothing
        leave(!is_read || !is_same || flags_of(0) & O_NONBLOCK || flags_of(0) < 0);
      },
      testing::ExitedWithCode(0), contains("result", 0));
}

TEST_F(standard_streams_test, a_terminal_is_read_without_stopping_others) {
  EXPECT_EXIT(
      {
        int controller;
        int terminal;
        if (::openpty(&controller, &terminal, nullptr, nullptr, nullptr) < 0) leave(2);
        ::dup2(terminal, 0);
        fiber<> typist = spawn([&] {
          sleep(5ms);
          (void)!::write(controller, "one\ntwo\n", 8);
        });
        const bool is_read =
            standard_input().read_line() == "one" && standard_input().read_line() == "two";
        leave(!is_read || flags_of(0) & O_NONBLOCK);
      },
      testing::ExitedWithCode(0), contains("result", 0));
}

TEST_F(standard_streams_test, a_full_output_stops_only_the_fiber_that_writes) {
  EXPECT_EXIT(
      {
        const pipe_ends pipe = make_pipe();
        ::dup2(pipe.writer.get(), 1);
        const std::string text(500'000, 'x');
        fiber<std::size_t> writer = spawn([&] { return standard_output().write_all(text); });
        yield();
        file reader = file::adopt(::dup(pipe.reader.get()));
        std::string got(text.size(), ' ');
        reader.read_exactly(got);
        leave(got != text || writer.get() != text.size() || flags_of(1) & O_NONBLOCK);
      },
      testing::ExitedWithCode(0), contains("result", 0));
}

TEST_F(standard_streams_test, an_output_that_nobody_reads_is_an_error) {
  EXPECT_EXIT(
      {
        pipe_ends pipe = make_pipe();
        const descriptor kept(::dup(1));
        ::dup2(pipe.writer.get(), 1);
        pipe.writer.reset();
        pipe.reader.reset();
        std::error_code ec;
        standard_output().write_all("x", ec);
        ::dup2(kept.get(), 1);  // for what stdio has in its buffers
        standard_error().write_all("said on stderr\n");
        leave(ec != std::errc::broken_pipe);
      },
      testing::ExitedWithCode(0), contains("said on stderr"));
}

}  // namespace
}  // namespace coir::test
