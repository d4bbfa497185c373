/// A DNS server of the test's own, tests/net/name_server.py, which c-ares is told to ask.
#pragma once

#include "tests/net/support.hpp"

#include <cstdlib>
#include <string>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

namespace coir::net::test {

/// The server, for as long as it lives. Its names are told in the script.
class name_server : public testing::Environment {
 public:
  /// Before the first look-up: coir reads these settings once.
  void SetUp() override {
    start();
    ::setenv("COIR_RESOLVER", "ares", 1);
    ::setenv("COIR_NAME_SERVERS", ("127.0.0.1:" + line()).c_str(), 1);
  }
  void TearDown() override {
    ::close(input_);  // which ends it
    ::close(output_);
    EXPECT_EQ(pid_, ::waitpid(pid_, nullptr, 0));
  }

 private:
  void start() {
    int in[2];
    int out[2];
    ASSERT_EQ(0, ::pipe2(in, O_CLOEXEC));
    ASSERT_EQ(0, ::pipe2(out, O_CLOEXEC));
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    std::string program = COIR_TEST_PYTHON;
    std::string option = "-B";
    std::string script = COIR_TEST_NAME_SERVER;
    char* const words[] = {program.data(), option.data(), script.data(), nullptr};
    ASSERT_EQ(0, posix_spawn(&pid_, program.c_str(), &actions, nullptr, words, environ));
    posix_spawn_file_actions_destroy(&actions);
    ::close(in[0]);
    ::close(out[1]);
    input_ = in[1];
    output_ = out[0];
  }
  std::string line() {
    std::string text;
    for (char c = 0; ::read(output_, &c, 1) == 1 && c != '\n';) text += c;
    return text;
  }

  pid_t pid_ = -1;
  int input_ = -1;
  int output_ = -1;
};

}  // namespace coir::net::test
