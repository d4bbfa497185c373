/// What tests of forks share.
#pragma once

#include <cstdio>
#include <functional>

#include <sys/wait.h>
#include <unistd.h>

namespace coir::test {

/// Forks, runs `in_child` in the child, which ends with its result, and returns how the child
/// ended.
inline int result_of_child(const std::function<int()>& in_child) {
  const pid_t pid = ::fork();
  if (pid == 0) _exit(in_child());
  int status = -1;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/// Ends the process with `result`; on failure with a line that tells it.
[[noreturn]] inline void leave(int result) {
  if (result) std::fprintf(stderr, "result %d\n", result);
  _exit(result != 0);
}

}  // namespace coir::test
