/// A program that is not ours, in a process of its own.
#pragma once

#include <coir/fiber.hpp>
#include <coir/offload.hpp>

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <csignal>

namespace coir::test {

/// Its input and output are pipes of ours; it is ended with this object.
class program {
 public:
  /// Where its error messages go.
  enum class errors { to_ours, to_its_output };

  explicit program(std::vector<std::string> words, errors where = errors::to_ours) {
    int in[2];
    int out[2];
    EXPECT_EQ(0, pipe2(in, O_CLOEXEC));
    EXPECT_EQ(0, pipe2(out, O_CLOEXEC));
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    if (where == errors::to_its_output)
      posix_spawn_file_actions_adddup2(&actions, out[1], STDERR_FILENO);
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    EXPECT_EQ(0, posix_spawn(&pid_, arguments[0], &actions, nullptr, arguments.data(), environ));
    posix_spawn_file_actions_destroy(&actions);
    ::close(in[0]);
    ::close(out[1]);
    input_ = in[1];
    output_ = out[0];
  }
  ~program() {
    end();
    exit_status();
    if (input_ >= 0) ::close(input_);
    ::close(output_);
  }
  program(const program&) = delete;
  program& operator=(const program&) = delete;

  /// The next line that it prints, without its end; stops the whole thread until it is there.
  std::string line() {
    std::string text;
    for (char c = 0; ::read(output_, &c, 1) == 1 && c != '\n';) text += c;
    return text;
  }
  /// What it says up to and with `end`, or up to its own end; not together with line(). Off the
  /// worker, so that fibers go on.
  std::string said_up_to(const std::string& end) {
    return offload([this, end] {
      pollfd wait{output_, POLLIN, 0};
      std::array<char, 65536> block;
      std::size_t found;
      while ((found = said_.find(end)) == said_.npos && ::poll(&wait, 1, patience_ms) == 1) {
        const ssize_t size = ::read(output_, block.data(), block.size());
        if (size <= 0) break;
        said_.append(block.data(), static_cast<std::size_t>(size));
      }
      const std::string rest = found == said_.npos ? "" : said_.substr(found + end.size());
      said_.resize(said_.size() - rest.size());
      return std::exchange(said_, rest);
    });
  }
  /// Gives it `text` to read, once it has read what it was given before.
  void tell(const std::string& text) {
    int unread = 1;
    for (int tries = patience_ms; unread > 0 && tries > 0; --tries) {
      ASSERT_EQ(0, ::ioctl(input_, FIONREAD, &unread));
      if (unread > 0) this_fiber::sleep_for(std::chrono::milliseconds(1));
    }
    EXPECT_EQ(::write(input_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  /// There is nothing more for it to read.
  void close_input() { ::close(std::exchange(input_, -1)); }
  /// Kills it.
  void end() {
    if (!is_over_) kill(pid_, SIGKILL);
  }
  /// Waits for its end, off the worker so that fibers go on.
  int exit_status() {
    if (!is_over_) offload([this] { waitpid(pid_, &status_, 0); });
    is_over_ = true;
    return status_;
  }

 private:
  static constexpr int patience_ms = 20'000;

  pid_t pid_ = -1;
  int input_ = -1;
  int output_ = -1;
  int status_ = -1;
  std::string said_;  ///< and not yet asked for
  bool is_over_ = false;
};

}  // namespace coir::test
