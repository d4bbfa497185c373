// coir::process: starting, waiting, signals, what a child gets and does not get.
#include <coir/process.hpp>

#include "tests/runtime/system/support.hpp"

#include <csignal>
#include <set>
#include <sstream>
#include <thread>

#include <sys/wait.h>

namespace coir::test {
namespace {

using process_test = runtime_test;

const process_options piped{
    .input = child_stream::pipe(), .output = child_stream::pipe(), .error = child_stream::pipe()};

std::vector<std::string> shell(const std::string& script) { return {"sh", "-c", script}; }

TEST_F(process_test, the_exit_code_comes_back_as_often_as_asked) {
  process child(shell("exit 3"));
  EXPECT_GT(child.pid(), 0);
  const exit_status status = child.wait();
  EXPECT_TRUE(status.exited());
  EXPECT_EQ(status.code(), 3);
  EXPECT_FALSE(status.success());
  EXPECT_EQ(status.text(), "exit code 3");
  EXPECT_EQ(child.wait(), status);
  EXPECT_EQ(child.try_wait(), status);
  EXPECT_FALSE(child.kill()) << "it has ended";
}

TEST_F(process_test, a_wait_parks_only_its_fiber_and_may_have_a_limit) {
  process child({"sleep", "60"});
  EXPECT_EQ(child.try_wait(), std::nullopt);
  int turns = 0;
  fiber<> other = spawn([&] {
    for (; turns < 3; ++turns) sleep(2ms);
  });
  const stopwatch watch;
  EXPECT_EQ(child.wait_for(20ms), std::nullopt);
  expect_took(watch, 20ms);
  other.join();
  EXPECT_EQ(turns, 3);
  EXPECT_TRUE(child.terminate());
  const exit_status status = child.wait();
  EXPECT_TRUE(status.signalled());
  EXPECT_EQ(status.signal(), SIGTERM);
  EXPECT_EQ(status.code(), -1);
  EXPECT_EQ(status.text(), "killed by SIGTERM");
}

TEST_F(process_test, several_fibers_may_wait_for_one_child) {
  process child({"sleep", "60"});
  std::vector<fiber<exit_status>> waiting;
  for (int i = 0; i < 5; ++i) waiting.push_back(spawn([&] { return child.wait(); }));
  sleep(2ms);
  child.kill();
  for (auto& each : waiting) EXPECT_EQ(each.get_for(10s).signal(), SIGKILL);
}

TEST_F(process_test, a_fiber_killed_in_a_wait_leaves_the_child_alone) {
  process child = process({"cat"}, piped);
  fiber<> waiting = spawn([&] { child.wait(); });
  yield();
  waiting.kill();
  EXPECT_EQ(child.try_wait(), std::nullopt);
  EXPECT_EQ(child.communicate("still there").output, "still there");
}

TEST_F(process_test, a_program_that_cannot_be_executed_is_named) {
  const temporary_directory folder;
  expect_says(error_of([] { process({"no-such-program"}); }),
              {"run no-such-program", "No such file"});
  write_file(folder / "plain", "text", 0644);
  expect_says(error_of([&] { process({folder / "plain"}); }), {"plain", "Permission denied"});
  write_file(folder / "script", "#!/no/such/shell\n", 0755);
  expect_says(error_of([&] { process({folder / "script"}); }), {"script", "interpreter"});
  write_file(folder / "headless", "exit 0\n", 0755);
  expect_says(error_of([&] { process({folder / "headless"}); }), {"headless", "#!/bin/sh"});
  expect_says(error_of([&] { process({"true"}, {.working_directory = folder / "nowhere"}); }),
              {"run", "nowhere", "No such file"});
  expect_says(error_of([] { process({"true"}, {.output = child_stream::descriptor(9999)}); }),
              {"its stream 1", "Bad file"});
  expect_says(error_of([] { process({"true"}, {.descriptors = {9999}}); }),
              {"its descriptor 9999", "Bad file"});
  expect_says(error_of([] {
                process({"true", std::string(3 << 20, 'x')});
              }),
              {"too large", "too long"});
  std::error_code ec;
  EXPECT_EQ(process::start({"no-such-program"}, {}, ec).pid(), 0);
  EXPECT_EQ(ec, std::errc::no_such_file_or_directory);
  EXPECT_THROW(process(std::vector<std::string>{}), std::invalid_argument);
  EXPECT_THROW(process({std::string("a\0b", 3)}), std::invalid_argument);
  EXPECT_THROW(process({"true"}, {.environment = {{"no equals sign"}}}), std::invalid_argument);
  EXPECT_THROW(process({"true"}, {.output = child_stream::same_as_output()}),
               std::invalid_argument);
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a child is left";
}

TEST_F(process_test, a_program_is_looked_for_in_the_path_that_the_child_gets) {
  const temporary_directory folder;
  write_file(folder / "own-program", "#!/bin/sh\necho \"$0\"\n", 0755);
  write_file(folder / "not-executable", "x", 0644);
  const std::vector<std::string> environment{"PATH=/nowhere:" + folder.path()};
  EXPECT_EQ(check_output({"own-program"}, {.environment = environment}),
            folder / "own-program" + "\n");
  expect_says(error_of([&] { process({"not-executable"}, {.environment = environment}); }),
              {"Permission denied"});
  expect_says(error_of([&] {
                process({"own-program"}, {.environment = environment, .search_path = false});
              }),
              {"No such file"});
  EXPECT_EQ(check_output({"./own-program"}, {.working_directory = folder.path()}),
            "./own-program\n");
  const process_options relative{.environment = {{"PATH=."}}, .working_directory = folder.path()};
  EXPECT_EQ(check_output({"own-program"}, relative), "./own-program\n");
}

TEST_F(process_test, arguments_environment_and_directory_arrive_as_they_are) {
  const std::string odd = "a b\t\"c\" $HOME *\n";
  EXPECT_EQ(check_output({"printf", "%s|", odd, "", "last"}), odd + "||last|");
  EXPECT_EQ(check_output({"env"}, {.environment = {{"PATH=/usr/bin:/bin", "ONLY=this one"}}}),
            "PATH=/usr/bin:/bin\nONLY=this one\n");
  EXPECT_EQ(check_output({"pwd"}, {.working_directory = "/"}), "/\n");
  EXPECT_EQ(check_output({"other-name", "-c", "echo $0"}, {.program = "/bin/sh"}), "other-name\n");
  std::vector<std::string> changed = current_environment();
  changed.push_back("COIR_TEST_ADDED=yes");
  EXPECT_EQ(check_output(shell("echo $COIR_TEST_ADDED"), {.environment = changed}), "yes\n");
}

TEST_F(process_test, streams_lead_where_they_are_told) {
  const temporary_directory folder;
  write_file(folder / "in", "from a file\n");
  const file in = file::open(folder / "in");
  file out = file::open(folder / "out", {.write = true, .create = true});
  run(shell("cat; echo problem >&2"),
      {.input = in, .output = out, .error = child_stream::same_as_output()});
  EXPECT_EQ(read_file(folder / "out"), "from a file\nproblem\n");
  const process_result mixed =
      run(shell("echo one; echo two >&2"), {.error = child_stream::same_as_output()});
  EXPECT_EQ(mixed.output, "one\ntwo\n");
  EXPECT_EQ(mixed.error, "");
  EXPECT_EQ(run(shell("cat; echo x >&2"), {.error = child_stream::null()}).error, "");
  const pipe_files ends = pipe();
  process child({"echo", "through a pipe"}, {.output = ends.writer});
  const_cast<file&>(ends.writer).close();
  EXPECT_EQ(const_cast<file&>(ends.reader).read_rest(), "through a pipe\n");
  EXPECT_TRUE(child.wait().success());
}

TEST_F(process_test, streams_may_be_exchanged) {
  // Each of the caller's streams is the other's source.
  const pipe_ends first = make_pipe();
  const pipe_ends second = make_pipe();
  const int kept_out = ::dup(1);
  const int kept_error = ::dup(2);
  ::dup2(first.writer.get(), 1);
  ::dup2(second.writer.get(), 2);
  std::string said;
  try {
    process child(shell("echo out; echo error >&2"),
                  {.output = child_stream::descriptor(2), .error = child_stream::descriptor(1)});
    child.wait();
  } catch (const std::exception& e) {
    said = e.what();
  }
  ::dup2(kept_out, 1);
  ::dup2(kept_error, 2);
  ::close(kept_out);
  ::close(kept_error);
  EXPECT_EQ(said, "");
  char data[20];
  EXPECT_EQ(std::string(data, static_cast<std::size_t>(::read(first.reader.get(), data, 20))),
            "error\n");
  EXPECT_EQ(std::string(data, static_cast<std::size_t>(::read(second.reader.get(), data, 20))),
            "out\n");
}

TEST_F(process_test, nothing_leaks_into_a_child) {
  const descriptor careless(::open("/dev/null", O_RDONLY));  // without O_CLOEXEC
  const pipe_ends also_careless = make_pipe(0);
  process other({"cat"}, piped);  // its pipes, too
  // The list itself is read through one more.
  const std::string listed = check_output(shell("cd /proc/self/fd && echo *"));
  std::istringstream words(listed);
  std::set<int> numbers{std::istream_iterator<int>(words), {}};
  for (const int allowed : {0, 1, 2}) numbers.erase(allowed);
  EXPECT_LE(numbers.size(), 1u) << listed;
  EXPECT_FALSE(numbers.count(careless.get())) << listed;
}

TEST_F(process_test, descriptors_that_are_named_are_passed_on) {
  pipe_ends kept = make_pipe();
  pipe_ends closed = make_pipe(0);
  const int number = kept.writer.get();
  const process_result result =
      run(shell("echo passed >&" + std::to_string(number) + "; echo x >&" +
                std::to_string(closed.writer.get()) + " || exit 7"),
          {.descriptors = {number, number, 1}});
  EXPECT_NE(result.status.code(), 0);
  char data[20];
  EXPECT_EQ(std::string(data, static_cast<std::size_t>(::read(kept.reader.get(), data, 20))),
            "passed\n");
  EXPECT_TRUE(::fcntl(number, F_GETFD) & FD_CLOEXEC) << "the caller's own stays as it was";
}

/// The signals of a line of /proc/self/status.
std::uint64_t mask_of(const std::string& status, const std::string& name) {
  const auto at = status.find(name);
  return at == std::string::npos ? ~0ull
                                 : std::stoull(status.substr(at + name.size()), nullptr, 16);
}

TEST_F(process_test, a_child_starts_with_a_clean_signal_state) {
  const auto before = std::signal(SIGUSR1, SIG_IGN);
  const auto handler = std::signal(SIGUSR2, [](int) {});
  sigset_t only, mask;
  sigemptyset(&only);
  sigaddset(&only, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &only, &mask);
  const std::string clean = check_output({"cat", "/proc/self/status"});
  const std::string kept =
      check_output({"cat", "/proc/self/status"}, {.keep_ignored_signals = true});
  ::pthread_sigmask(SIG_SETMASK, &mask, nullptr);
  std::signal(SIGUSR1, before);
  std::signal(SIGUSR2, handler);
  for (const char* name : {"SigBlk:", "SigCgt:", "SigPnd:"}) EXPECT_EQ(mask_of(clean, name), 0u);
  EXPECT_EQ(mask_of(clean, "SigIgn:") & 0x7fffffff, 0u);
  EXPECT_EQ(mask_of(kept, "SigBlk:"), 0u);
  EXPECT_TRUE(mask_of(kept, "SigIgn:") & 1u << (SIGUSR1 - 1));
}

TEST_F(process_test, a_group_of_its_own_can_be_signalled_as_a_whole) {
  process child(shell("sleep 60 & echo $!; wait"),
                {.output = child_stream::pipe(), .group = process_group::new_group});
  const std::string line = child.output().read_line().value_or("");
  const pid_t grandchild = std::stoi(line);
  EXPECT_EQ(::getpgid(child.pid()), child.pid());
  EXPECT_EQ(::getpgid(grandchild), child.pid());
  EXPECT_TRUE(child.kill_group(SIGTERM));
  EXPECT_EQ(child.wait().signal(), SIGTERM);
  EXPECT_EQ(child.output().read_line(), std::nullopt) << "the grandchild holds the pipe";
  EXPECT_FALSE(child.kill_group());
  process plain({"true"});
  EXPECT_THROW(plain.kill_group(), std::logic_error);
  process leader({"sleep", "60"}, {.group = process_group::new_session});
  EXPECT_EQ(::getsid(leader.pid()), leader.pid());
}

TEST_F(process_test, a_signal_that_is_none_is_an_error) {
  process child({"sleep", "60"});
  EXPECT_THROW(child.kill(1000), std::system_error);
  EXPECT_TRUE(child.kill(0));
}

TEST_F(process_test, an_empty_object_says_so) {
  process empty;
  EXPECT_EQ(empty.pid(), 0);
  EXPECT_THROW(empty.wait(), std::system_error);
  empty.detach();
  process child(shell("exit 5"));
  process moved = std::move(child);
  EXPECT_EQ(moved.wait().code(), 5);
  expect_says(error_of([&] { child.wait(); }), {"empty"});
}

TEST_F(process_test, a_status_that_something_else_has_taken_is_an_error_and_no_hang) {
  process child({"true"});
  int status;
  ASSERT_EQ(::waitpid(child.pid(), &status, 0), child.pid());
  expect_says(error_of([&] { child.wait(); }), {"something else", "No child processes"});
  expect_says(error_of([&] { child.try_wait(); }), {"something else"});
}

TEST_F(process_test, children_of_others_are_left_to_them) {
  const pid_t own = ::fork();
  if (own == 0) _exit(9);
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(run({"true"}).status.success());
  int status = 0;
  EXPECT_EQ(::waitpid(own, &status, 0), own);
  EXPECT_EQ(WEXITSTATUS(status), 9);
}

TEST_F(process_test, fibers_of_several_workers_use_one_child) {
  process child({"sleep", "60"});
  std::thread other([&] { EXPECT_EQ(child.wait().signal(), SIGINT); });
  fiber<exit_status> here = spawn([&] { return child.wait(); });
  sleep(5ms);
  child.kill(SIGINT);
  EXPECT_EQ(here.get_for(10s).signal(), SIGINT);
  other.join();
}

}  // namespace
}  // namespace coir::test
