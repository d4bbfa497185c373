#include "hooks/launcher/captured_run.hpp"

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

namespace coir::launcher {
namespace {

using steady = std::chrono::steady_clock;

constexpr std::size_t output_bytes_max = 1 << 20;

[[noreturn]] void become(const std::vector<std::string>& command, int output, int patience_ms) {
  alarm(static_cast<unsigned>(patience_ms / 1000 + 1));  // ends one that closed its output, too
  const int nothing = open("/dev/null", O_RDONLY);
  dup2(nothing, STDIN_FILENO);
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  unsetenv("LD_PRELOAD");
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  execv(arguments[0], arguments.data());
  _exit(127);
}

/// Reads until the other side closes; false when that takes too long, or is too much.
bool read_all(int fd, steady::time_point until, std::string& text) {
  while (text.size() < output_bytes_max) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - steady::now()).count();
    pollfd wait = {fd, POLLIN, 0};
    const int ready = left > 0 ? poll(&wait, 1, static_cast<int>(left)) : 0;
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return false;
    char buffer[4096];
    const ssize_t size = read(fd, buffer, sizeof buffer);
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return true;
    text.append(buffer, static_cast<std::size_t>(size));
  }
  return false;
}

}  // namespace

captured_run run_captured(const std::vector<std::string>& command, int patience_ms) {
  captured_run run;
  int pipe_ends[2];
  if (pipe2(pipe_ends, O_CLOEXEC) != 0) return run;
  const pid_t child = fork();
  if (child == 0) become(command, pipe_ends[1], patience_ms);
  close(pipe_ends[1]);
  if (child > 0) {
    const auto until = steady::now() + std::chrono::milliseconds(patience_ms);
    run.has_timed_out = !read_all(pipe_ends[0], until, run.output);
    if (run.has_timed_out) kill(child, SIGKILL);
    int how = 0;
    while (waitpid(child, &how, 0) < 0 && errno == EINTR) {
    }
    if (WIFEXITED(how)) run.status = WEXITSTATUS(how);
  }
  close(pipe_ends[0]);
  return run;
}

}  // namespace coir::launcher
