/// How a child process is started: the options of coir::process and coir::run.
#pragma once

#include <coir/file.hpp>

#include <optional>
#include <string>
#include <vector>

namespace coir {

/// Where a standard stream of a child leads. A descriptor that is given must stay open until the
/// child has started; it stays the caller's. What was made without arguments is what the call that
/// takes it says.
class child_stream {
 public:
  child_stream() noexcept = default;
  /// To the file; the child gets a descriptor of its own for it.
  child_stream(const file& what) noexcept : child_stream(kind::descriptor, what.native_handle()) {}
  /// To what the caller's own stream of the same number leads to.
  static child_stream inherit() noexcept { return {kind::inherit, -1}; }
  /// To nowhere: /dev/null.
  static child_stream null() noexcept { return {kind::null, -1}; }
  /// Through a pipe, whose other end is the process's input(), output() or error().
  static child_stream pipe() noexcept { return {kind::pipe, -1}; }
  /// To the descriptor `fd`.
  static child_stream descriptor(int fd) noexcept { return {kind::descriptor, fd}; }
  /// Only for error: to where the child's output leads, pipes included.
  static child_stream same_as_output() noexcept { return {kind::output, -1}; }

 private:
  friend struct child_setup;
  friend struct process_runner;
  enum class kind : unsigned char { unsaid, inherit, null, pipe, descriptor, output };
  child_stream(kind how, int fd) noexcept : how_(how), fd_(fd) {}

  kind how_ = kind::unsaid;
  int fd_ = -1;
};

/// Which process group and session a child is in.
enum class process_group {
  inherit,      ///< the caller's: Ctrl-C at the terminal reaches the child, too
  new_group,    ///< a group of its own, for kill_group
  new_session,  ///< a session of its own, with such a group and without a terminal
};

/// How a child is started.
struct process_options {
  /// Its standard input; unless said otherwise the caller's
  child_stream input = {};
  /// Its standard output; the same
  child_stream output = {};
  /// Its standard error; the same
  child_stream error = {};
  /// "NAME=value" each: the whole environment; nothing: the caller's
  std::optional<std::vector<std::string>> environment = {};
  /// Where it starts; empty: the caller's
  std::string working_directory = {};
  /// The file to execute, where that is not the first argument
  std::string program = {};
  /// Look for a program without a slash in PATH: that of `environment` if it is given
  bool search_path = true;
  /// The process group and session it is in
  process_group group = process_group::inherit;
  /// Further descriptors that it gets, under the same numbers. All others, also those without
  /// FD_CLOEXEC, are closed in it
  std::vector<int> descriptors = {};
  /// Leave signals ignored that the caller ignores, as nohup needs; else all are at their defaults
  bool keep_ignored_signals = false;
};

}  // namespace coir
