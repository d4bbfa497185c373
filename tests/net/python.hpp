/// A network program that is not ours, in a process of its own.
#pragma once

#include "tests/net/support.hpp"

#include <string>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

namespace coir::net::test {

/// A python3 that runs `script` with `argument`; its standard output is a pipe.
class python {
 public:
  python(std::string script, std::string argument) {
    int ends[2];
    EXPECT_EQ(0, pipe2(ends, O_CLOEXEC));
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    std::string program = COIR_TEST_PYTHON;
    std::string option = "-c";
    char* const words[] = {program.data(), option.data(), script.data(), argument.data(), nullptr};
    EXPECT_EQ(0, posix_spawn(&pid_, program.c_str(), &actions, nullptr, words, environ));
    posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);
    output_ = ends[0];
  }
  ~python() {
    kill(pid_, SIGKILL);
    exit_status();
    ::close(output_);
  }
  python(const python&) = delete;
  python& operator=(const python&) = delete;

  /// What it prints, up to the end of a line.
  std::string line() {
    std::string text;
    for (char c = 0; ::read(output_, &c, 1) == 1 && c != '\n';) text += c;
    return text;
  }
  /// Waits for its end, off the worker so that fibers go on.
  int exit_status() {
    if (!is_over_) offload([this] { waitpid(pid_, &status_, 0); });
    is_over_ = true;
    return status_;
  }

 private:
  pid_t pid_ = -1;
  int output_ = -1;
  int status_ = -1;
  bool is_over_ = false;
};

}  // namespace coir::net::test
