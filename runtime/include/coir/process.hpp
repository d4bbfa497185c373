/// Child processes: gevent.subprocess.
///
///     coir::process sort({"sort", "-n"}, {.input = coir::child_stream::pipe(),
///                                         .output = coir::child_stream::pipe()});
///     coir::process_result result = sort.communicate("2\n1\n");  // parks the fiber only
///
/// or, for a program that is run to its end, `coir::run({"git", "log"})`.
///
/// The end of a child is seen at a descriptor of it (pidfd, Linux 5.3): there is no handler of
/// SIGCHLD, other children of the program are never waited for, and a number that the kernel has
/// given to another process is never signalled.
#pragma once

#include <coir/detail/clock.hpp>
#include <coir/detail/select_case.hpp>
#include <coir/exceptions.hpp>
#include <coir/export.hpp>
#include <coir/file.hpp>
#include <coir/process_options.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <signal.h>
#include <sys/types.h>

namespace coir {
namespace detail {
class child_case_base;
}

/// How a process ended.
class COIR_API exit_status {
 public:
  /// By exit(`code`).
  static exit_status of_exit(int code) noexcept { return exit_status(code, 0, false); }
  /// By signal `number`.
  static exit_status of_signal(int number, bool core_dumped) noexcept {
    return exit_status(0, number, core_dumped);
  }

  /// True when it returned from main with 0, or called exit(0). Never parks.
  bool success() const noexcept { return exited() && code_ == 0; }
  /// True when it ended by itself. Never parks.
  bool exited() const noexcept { return signal_ == 0; }
  /// What it exited with; -1 when a signal ended it. Never parks.
  int code() const noexcept { return exited() ? code_ : -1; }
  /// True when a signal ended it. Never parks.
  bool signalled() const noexcept { return signal_ != 0; }
  /// Which signal; 0 when it ended by itself. Never parks.
  int signal() const noexcept { return signal_; }
  /// True when the signal left a core dump. Never parks.
  bool core_dumped() const noexcept { return core_dumped_; }
  /// Says "exit code 1", or "killed by SIGSEGV (core dumped)". Throws std::bad_alloc; never parks.
  std::string text() const;
  /// True for the same end.
  bool operator==(const exit_status& other) const noexcept = default;

 private:
  exit_status(int code, int signal, bool core_dumped) noexcept
      : code_(code), signal_(signal), core_dumped_(core_dumped) {}

  int code_;
  int signal_;
  bool core_dumped_;
};

/// What a child has written, and how it ended.
struct process_result {
  /// How it ended
  exit_status status = exit_status::of_exit(0);
  /// From its standard output, if that was a pipe
  std::string output;
  /// From its standard error, if that was a pipe
  std::string error;
  /// run(): its time was up, and it was killed
  bool timed_out = false;
};

/// A child process. Starts with no signal blocked, all at their defaults, and no descriptors but
/// those it was given.
///
/// Fibers of any worker may use one object together, several may wait() at a time; input(),
/// output(), error() and communicate() as a file says. A fiber that is killed in a wait leaves
/// child and object as they are. Movable while no fiber is in it; one that was moved from is empty,
/// and its calls throw std::system_error with std::errc::no_child_process.
///
/// **The end of the object** ends the child: one that still runs is killed by SIGKILL (its whole
/// group, if it was given one) and reaped in the background, so that neither a process nor a zombie
/// is left. detach() lets it run on. In the child of a fork an object knows that the process is not
/// its own: it neither kills nor reaps.
class COIR_API process {
 public:
  /// Starts `arguments[0]` with these arguments; parks until it has been executed. Throws
  /// std::system_error that names the program ("run nowhere: No such file or directory") when it
  /// cannot be executed, when descriptors or processes have run out, or when a given descriptor or
  /// directory is none; std::invalid_argument for what cannot be passed on. There is no child then.
  /// A kill is kept until the child runs, and then finds it in this object.
  explicit process(std::vector<std::string> arguments, const process_options& how = {});
  /// The same, with the error in `ec`, and an empty object then.
  static process start(std::vector<std::string> arguments, const process_options& how,
                       std::error_code& ec);
  /// Empty.
  process() noexcept = default;
  process(process&& other) noexcept : state_(other.state_) { other.state_ = nullptr; }
  process& operator=(process&& other) noexcept;
  ~process();

  /// The number of the process; 0 for an empty object. Another process may have it after wait().
  /// Never parks.
  pid_t pid() const noexcept;
  /// Parks until the child has ended, and says how; again and again the same. Throws what
  /// interrupts the wait, and std::system_error with std::errc::no_child_process when something
  /// else in the program has taken the status (a wait for any child, or SIGCHLD ignored).
  exit_status wait() { return *wait_until_deadline(detail::never); }
  /// As wait, but for no longer than `timeout`; nothing when the child runs on.
  template <class Rep, class Period>
  std::optional<exit_status> wait_for(std::chrono::duration<Rep, Period> timeout) {
    return wait_until_deadline(detail::deadline_after(timeout));
  }
  /// As wait, but until `when` at the latest.
  template <class Duration>
  std::optional<exit_status> wait_until(
      std::chrono::time_point<std::chrono::steady_clock, Duration> when) {
    return wait_until_deadline(detail::deadline_at(when));
  }
  /// How the child ended; nothing while it runs: Popen.poll. Never parks.
  std::optional<exit_status> try_wait() { return wait_until_deadline(0); }

  /// Sends the child a signal; false when it has ended. Throws std::system_error, for a number that
  /// is none, or a child that has become another user's. Never parks.
  bool kill(int signal = SIGKILL);
  /// kill(SIGTERM). Never parks.
  bool terminate() { return kill(SIGTERM); }
  /// Sends a signal to all processes of the group that was made for the child; false when there is
  /// none left, and once wait() has seen the child's end, from when on the number of the group may
  /// be another's. Throws std::logic_error when the child has no group of its own. Never parks.
  bool kill_group(int signal = SIGKILL);
  /// Lets the child run on when this object ends, which is empty from now on; it is reaped in the
  /// background. Does nothing for an empty object. Never parks.
  void detach();

  /// The caller's end of the pipe to the child's input; a closed file when there is none. Closing
  /// it is what tells most programs that there is no more. Never parks.
  file& input();
  /// The caller's end of the pipe from the child's output. Never parks.
  file& output();
  /// The caller's end of the pipe from the child's error stream. Never parks.
  file& error();

  /// Writes `input` to the child, closes its input, reads what it writes, and waits for its end;
  /// whatever of this has a pipe, all at a time, so that sizes do not matter. That the child does
  /// not read all its input is no error. More than `bytes_max` bytes from either stream are
  /// file_errc::file_too_long; the child runs on. Waits for the ends of the streams, too, which
  /// grandchildren may hold. Parks; after an interruption or an error it may be called again, with
  /// the same input, and goes on where it was.
  process_result communicate(std::string_view input = {}, std::size_t bytes_max = SIZE_MAX) {
    return communicate_until(detail::never, input, bytes_max);
  }
  /// As communicate, but throws coir::timeout after `timeout`; the child runs on.
  template <class Rep, class Period>
  process_result communicate_for(std::chrono::duration<Rep, Period> timeout,
                                 std::string_view input = {}, std::size_t bytes_max = SIZE_MAX) {
    return communicate_until(detail::deadline_after(timeout), input, bytes_max);
  }

 private:
  friend struct process_runner;
  friend class detail::child_case_base;
  struct state;
  class waiting;
  explicit process(state* own) noexcept : state_(own) {}
  state& own() const;
  std::optional<exit_status> wait_until_deadline(detail::deadline until);
  process_result communicate_until(detail::deadline until, std::string_view input,
                                   std::size_t bytes_max);

  state* state_ = nullptr;
};

namespace detail {

/// Waits for the end of a child.
class COIR_API child_case_base : public descriptor_case {
 protected:
  explicit child_case_base(process& child) noexcept;
  /// How it has ended; for run().
  exit_status status() const { return child_->wait(); }

 private:
  int hold() final;
  void let_go() noexcept final;
  bool take() final;

  process* child_;
};

/// The same, with what is to be done then.
template <class Function>
class child_case final : public child_case_base {
 public:
  child_case(process& child, Function f) : child_case_base(child), function_(std::move(f)) {}
  void run() override { function_(status()); }

 private:
  Function function_;
};

}  // namespace detail

/// A case of coir::select: waits until the child has ended; `f` gets the exit_status, which wait()
/// tells afterwards, too. The object must outlive the case, and not be moved meanwhile. Select
/// throws what process::wait throws for an empty object, and when this case happens and something
/// else in the program has taken the status.
template <std::invocable<exit_status> Function = detail::do_nothing>
auto on_end(process& child, Function f = {}) {
  return detail::child_case<Function>(child, std::move(f));
}

/// What limits a run(), and what it gives the child to read.
struct run_limits {
  /// What the child reads from its standard input, unless `how` leads that elsewhere
  std::string_view input = {};
  /// So long it may run
  std::chrono::nanoseconds timeout = std::chrono::nanoseconds::max();
  /// So much it may write to either of its streams; more is file_errc::file_too_long
  std::size_t bytes_max = SIZE_MAX;
};

/// Runs a program to its end: subprocess.run. Its input is limits.input, its output and error are
/// collected, unless `how` leads them elsewhere. When its time is up, or the calling fiber is
/// killed, the child is killed, with its group if `how` gives it one; what it had written by then
/// is in the result. Throws what process and communicate throw; that it exits with an error is no
/// exception. Parks.
COIR_API process_result run(std::vector<std::string> arguments, process_options how = {},
                            const run_limits& limits = {});

/// Thrown by check_output.
class COIR_API process_failed : public std::runtime_error {
 public:
  /// `command` ended so.
  process_failed(const std::string& command, process_result result);
  ~process_failed() override;
  /// How it ended, and what it had written. Never parks.
  const process_result& result() const noexcept { return result_; }

 private:
  process_result result_;
};

/// Runs a program as run() and returns its output: subprocess.check_output. Throws process_failed
/// when it ends in any other way than with exit code 0, or its time is up. Its error stream is the
/// caller's unless `how` says otherwise. Parks.
COIR_API std::string check_output(std::vector<std::string> arguments, process_options how = {},
                                  const run_limits& limits = {});

/// The environment of this process, "NAME=value" each, to change it for a child. Never parks; no
/// other thread may change it meanwhile.
COIR_API std::vector<std::string> current_environment();

}  // namespace coir
