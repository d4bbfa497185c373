// communicate and run, the end of process objects, many children, full tables, forks.
#include <coir/process.hpp>

#include "tests/runtime/forking.hpp"
#include "tests/runtime/system/support.hpp"

#include <csignal>

#include <sys/wait.h>

namespace coir::test {
namespace {

using communicate_test = runtime_test;
using process_end_test = runtime_test;
using process_fork_test = fresh_process_test;

const process_options piped{
    .input = child_stream::pipe(), .output = child_stream::pipe(), .error = child_stream::pipe()};

#if defined(__SANITIZE_THREAD__)
constexpr bool child_may_make_threads = false;  // the thread sanitizer forbids it
#else
constexpr bool child_may_make_threads = true;
#endif

std::vector<std::string> shell(const std::string& script) { return {"sh", "-c", script}; }

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 7 + i / 1000);
  return text;
}

/// True while the process is there, also as a zombie.
bool exists(pid_t pid) { return ::kill(pid, 0) == 0; }

bool is_there(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

TEST_F(communicate_test, sizes_do_not_matter) {
  for (const std::size_t size : {0, 1, 65'536, 3'000'000}) {
    const std::string text = pattern(size);
    process_result result = process(shell("tee /dev/stderr"), piped).communicate(text);
    EXPECT_TRUE(result.status.success());
    EXPECT_TRUE(result.output == text) << size;
    EXPECT_TRUE(result.error == text) << size;
  }
}

TEST_F(communicate_test, a_child_that_does_not_read_its_input_is_no_error) {
  const process_result result = process(shell("echo done"), piped).communicate(pattern(1 << 20));
  EXPECT_TRUE(result.status.success());
  EXPECT_EQ(result.output, "done\n");
}

TEST_F(communicate_test, after_its_time_it_goes_on_where_it_was) {
  const temporary_directory folder;
  process child(shell("echo early; read line; echo \"$line\"; cat"), piped);
  const std::string text = "a line\n" + pattern(300'000);
  process slow(shell("echo early; echo >" + folder / "begun" + "; exec sleep 60"), piped);
  const stopwatch watch;
  EXPECT_THROW(slow.communicate_for(30ms, text), timeout);
  expect_took(watch, 30ms);
  EXPECT_THROW(slow.communicate_for(0ms, text), timeout);
  EXPECT_TRUE(eventually([&] { return is_there(folder / "begun"); }));
  slow.kill();
  const process_result partly = slow.communicate(text);
  EXPECT_EQ(partly.output, "early\n");
  EXPECT_EQ(partly.status.signal(), SIGKILL);
  EXPECT_FALSE(move_on_after(1us, [&] { child.communicate(text); }));
  EXPECT_EQ(child.communicate(text).output, "early\n" + text);
}

TEST_F(communicate_test, what_was_read_before_is_kept_apart_and_what_was_read_ahead_counts) {
  process child(shell("echo one; echo two; cat"), piped);
  EXPECT_EQ(child.output().read_line(), "one");
  child.input().write_all("three\n");
  EXPECT_EQ(child.communicate("four\n").output, "two\nthree\nfour\n");
}

TEST_F(communicate_test, more_than_allowed_is_an_error_and_the_child_stays) {
  process child({"yes"}, piped);
  std::error_code code;
  try {
    child.communicate({}, 100'000);
  } catch (const std::system_error& e) {
    code = e.code();
  }
  EXPECT_EQ(code, file_errc::file_too_long);
  EXPECT_EQ(child.try_wait(), std::nullopt);
}

TEST_F(communicate_test, a_child_that_never_stops_writing_can_be_left) {
  process child({"yes"}, {.output = child_stream::pipe()});
  EXPECT_THROW(child.communicate_for(20ms), timeout);
  EXPECT_FALSE(move_on_after(5ms, [&] { child.communicate(); }));
  fiber<> endless = spawn([&] { child.communicate(); });
  sleep(1ms);
  endless.kill();
  EXPECT_TRUE(endless.ready());
}

TEST_F(communicate_test, run_collects_everything_and_throws_for_no_exit_code) {
  const process_result result =
      run(shell("cat; echo bad >&2; exit 4"), {}, {.input = "some input"});
  EXPECT_EQ(result.status.code(), 4);
  EXPECT_EQ(result.output, "some input");
  EXPECT_EQ(result.error, "bad\n");
  EXPECT_FALSE(result.timed_out);
}

TEST_F(communicate_test, run_ends_a_child_whose_time_is_up_and_keeps_what_it_wrote) {
  process_result result;
  // On a busy machine the child may need long to begin.
  for (milliseconds limit = 200ms; result.error.empty() && limit < 20s; limit *= 2) {
    const stopwatch watch;
    result =
        run(shell("echo begun; echo trouble >&2; sleep 60; echo never"), {}, {.timeout = limit});
    expect_took(watch, limit);
    EXPECT_TRUE(result.timed_out);
    EXPECT_EQ(result.status.signal(), SIGKILL);
  }
  EXPECT_EQ(result.output, "begun\n");
  EXPECT_EQ(result.error, "trouble\n");
}

TEST_F(communicate_test, a_kill_of_the_fiber_in_run_ends_the_child) {
  const temporary_directory folder;
  const std::string path = folder / "pid";
  fiber<> runs = spawn([&] { run(shell("echo $$ >" + path + "; exec sleep 60")); });
  EXPECT_TRUE(eventually([&] { return is_there(path) && !read_file(path).empty(); }));
  const pid_t pid = std::stoi(read_file(path));
  EXPECT_TRUE(exists(pid));
  runs.kill();
  EXPECT_TRUE(eventually([&] { return !exists(pid); }));
}

TEST_F(communicate_test, the_time_limit_of_a_scope_passes_through_run) {
  EXPECT_FALSE(move_on_after(20ms, [&] { run({"sleep", "60"}); }));
}

TEST_F(communicate_test, check_output_throws_with_the_command_and_how_it_ended) {
  EXPECT_EQ(check_output({"echo", "fine"}), "fine\n");
  try {
    check_output(shell("echo part; exit 6"));
    FAIL();
  } catch (const process_failed& e) {
    expect_says(e.what(), {"sh -c", "exit code 6"});
    EXPECT_EQ(e.result().output, "part\n");
    EXPECT_EQ(e.result().status.code(), 6);
  }
}

TEST_F(process_end_test, an_object_that_ends_takes_its_child_along_and_leaves_no_zombie) {
  pid_t pid;
  {
    const process child({"sleep", "60"});
    pid = child.pid();
    EXPECT_TRUE(exists(pid));
  }
  EXPECT_TRUE(eventually([&] { return !exists(pid); }));
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
}

TEST_F(process_end_test, one_with_a_group_takes_its_grandchildren_along) {
  pipe_files alive = pipe();
  {
    process child(shell("sleep 60 & echo; wait"), {.output = child_stream::pipe(),
                                                   .group = process_group::new_group,
                                                   .descriptors = {alive.writer.native_handle()}});
    EXPECT_EQ(child.output().read_line(), "");
    alive.writer.close();
    EXPECT_FALSE(move_on_after(5ms, [&] { alive.reader.read_line(); }));
  }
  EXPECT_TRUE(move_on_after(10s, [&] { EXPECT_EQ(alive.reader.read_line(), std::nullopt); }));
}

TEST_F(process_end_test, a_detached_child_runs_on_and_is_reaped) {
  pipe_files ends = pipe();
  process child({"cat"}, {.input = ends.reader, .output = child_stream::null()});
  const pid_t pid = child.pid();
  child.detach();
  EXPECT_EQ(child.pid(), 0);
  sleep(10ms);
  EXPECT_TRUE(exists(pid));
  ends.reader.close();
  ends.writer.close();
  EXPECT_TRUE(eventually([&] { return !exists(pid); }));
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
}

TEST_F(process_end_test, one_that_was_assigned_to_ends_its_former_child) {
  process child({"sleep", "60"});
  const pid_t first = child.pid();
  child = process(shell("exit 2"));
  EXPECT_TRUE(eventually([&] { return !exists(first); }));
  EXPECT_EQ(child.wait().code(), 2);
}

TEST_F(process_end_test, a_thousand_children_live_at_once) {
  constexpr int count = scaled(1000);
  std::vector<process> children(count);
  const std::size_t before = open_descriptors();
  for (int i = 0; i < count; ++i) {
    children[static_cast<std::size_t>(i)] =
        process({"cat"}, {.input = child_stream::pipe(), .output = child_stream::pipe()});
  }
  EXPECT_LE(open_descriptors(), before + 3u * count + 10u);
  std::vector<fiber<>> fibers;
  for (int i = 0; i < count; ++i) {
    fibers.push_back(spawn([&children, i] {
      const process_result result =
          children[static_cast<std::size_t>(i)].communicate(std::to_string(i));
      EXPECT_EQ(result.output, std::to_string(i));
      EXPECT_TRUE(result.status.success());
    }));
  }
  EXPECT_EQ(joinall(fibers, 100s), fibers.size());
  EXPECT_LE(open_descriptors(), before + 10) << "an ended child needs no descriptor";
}

TEST_F(process_end_test, with_a_full_descriptor_table_there_is_an_error_and_no_child) {
  process first({"cat"}, piped);
  EXPECT_TRUE(run({"true"}).status.success());  // what is made once is there
  int starts = 0;
  int failures = 0;
  for (std::size_t left = 0; left < 12; ++left) {
    std::string said;
    {
      const few_descriptors few(left);
      said = error_of([] { process({"cat"}, piped); });
    }
    ++(said == "nothing" ? starts : failures);
    if (said != "nothing") expect_says(said, {"raise ulimit -n", "run "});
  }
  EXPECT_GT(starts, 0);
  EXPECT_GT(failures, 0);
  EXPECT_EQ(first.communicate("all is well").output, "all is well");
  EXPECT_TRUE(eventually([] { return ::waitpid(-1, nullptr, WNOHANG) == -1; }));
}

TEST_F(process_fork_test, the_child_of_a_fork_neither_kills_nor_reaps) {
  EXPECT_EXIT(
      {
        process child({"cat"}, piped);
        const int result = result_of_child([&] {
          try {
            child.wait();
            return 11;
          } catch (const std::system_error& e) {
            if (e.code() != std::errc::no_child_process) return 12;
          }
          process dropped = std::move(child);
          dropped = process();  // its end must do nothing to the parent's child
          if (!child_may_make_threads) return 0;
          return run({"echo", "own"}).output == "own\n" ? 0 : 13;
        });
        const process_result own = child.communicate("alive");
        leave(result ? result : own.output != "alive" || !own.status.success());
      },
      testing::ExitedWithCode(0), contains("result", 0));
}

TEST_F(process_fork_test, a_program_without_standard_streams_can_start_children) {
  EXPECT_EXIT(
      {
        for (const int fd : {0, 1}) ::close(fd);
        const process_result result = run({"tr", "a-z", "A-Z"}, {}, {.input = "loud"});
        leave(result.output != "LOUD" || !result.status.success());
      },
      testing::ExitedWithCode(0), contains("result", 0));
}

}  // namespace
}  // namespace coir::test
