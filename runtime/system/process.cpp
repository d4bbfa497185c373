// A child's end shows at its pidfd, which all who wait poll. The first who comes afterwards reaps
// the child, under the lock, and notes how it ended. The last who leaves closes the pidfd: nobody
// may wait for a number that is another descriptor's by then.
#include <coir/process.hpp>

#include "runtime/io/io.hpp"
#include "runtime/kernel/calls.hpp"
#include "runtime/system/pipe_write.hpp"
#include "runtime/system/process_start.hpp"
#include "runtime/system/reaper.hpp"

#include <coir/detail/short_lock.hpp>
#include <coir/detail/wait_queue.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <utility>

#include <unistd.h>

namespace coir {
namespace {

using detail::code_of;

constexpr std::size_t read_step_bytes = 64 * 1024;  // what a pipe holds

pid_t this_process() noexcept { return static_cast<pid_t>(kernel::call(SYS_getpid)); }

[[noreturn]] void throw_no_child(const char* why) {
  detail::throw_error(code_of(-ECHILD), std::string("coir::process: ") + why);
}

}  // namespace

std::string exit_status::text() const {
  if (exited()) return "exit code " + std::to_string(code_);
  const char* const name = sigabbrev_np(signal_);
  std::string text = "killed by ";
  text += name ? std::string("SIG") + name : "signal " + std::to_string(signal_);
  return core_dumped_ ? text + " (core dumped)" : text;
}

struct process::state {
  detail::short_lock lock;
  // Guarded by lock
  int pidfd = -1;          ///< -1 once it is no longer needed
  int waiters = 0;         ///< how many poll it
  bool has_ended = false;  ///< the child was reaped
  // Written once, by lock, before has_ended is seen
  bool is_lost = false;  ///< somebody else has taken the status
  exit_status status = exit_status::of_exit(0);

  pid_t pid = 0;
  pid_t owner = this_process();
  bool has_group = false;
  file input;
  file output;
  file error;
  // What communicate() has done so far
  std::size_t input_written = 0;
  std::string output_read;
  std::string error_read;

  /// By the lock: looks whether the child has ended.
  void look() noexcept {
    if (has_ended || pidfd < 0) return;
    int code = 0;
    int how = 0;
    const int reaped = detail::reap_now(pidfd, code, how);
    if (reaped == 0 || reaped == -EINTR) return;
    has_ended = true;
    is_lost = reaped < 0;
    status = code == CLD_EXITED ? exit_status::of_exit(how)
                                : exit_status::of_signal(how, code == CLD_DUMPED);
    close_if_done();
  }

  /// By the lock.
  void close_if_done() noexcept {
    if (has_ended && waiters == 0 && pidfd >= 0) io::close(std::exchange(pidfd, -1));
  }

  /// By the lock.
  bool runs() const noexcept { return pidfd >= 0 && !has_ended; }

  /// Looks, by itself; true when the child has ended.
  bool has_ended_now() noexcept {
    const std::lock_guard guard(lock);
    look();
    return !runs();
  }
  /// From then on the pidfd stays open, until end_wait().
  void begin_wait() noexcept {
    const std::lock_guard guard(lock);
    ++waiters;
  }
  void end_wait() noexcept {
    const std::lock_guard guard(lock);
    --waiters;
    close_if_done();
  }

  /// Gives the child to the reaper.
  int hand_over() noexcept {
    const std::lock_guard guard(lock);
    look();
    if (!runs()) return 0;
    const int error_number = detail::reap_in_background(pidfd);
    if (error_number < 0) return error_number;
    pidfd = -1;
    return 0;
  }

  /// Sends all that must end its end.
  void end_child() noexcept {
    const std::lock_guard guard(lock);
    look();
    if (!runs()) return;
    if (has_group) kernel::call(SYS_kill, -pid, SIGKILL);
    kernel::call(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0);
  }

  /// There is no memory or no descriptor to let somebody else do it, and it was killed.
  void reap_here() noexcept {
    const std::lock_guard guard(lock);
    while (kernel::call(SYS_wait4, pid, nullptr, 0, nullptr) == -EINTR) {
    }
    io::close(std::exchange(pidfd, -1));
  }
};

process::process(std::vector<std::string> arguments, const process_options& how) {
  std::error_code ec;
  if (!detail::ensure_worker(ec)) detail::throw_error(ec, "coir::process");
  start_failure failure;
  state* const own = new state;
  state_ = own;
  struct undo {
    process* self;
    ~undo() {
      if (self) delete std::exchange(self->state_, nullptr);
    }
  } on_failure{this};
  started_child child = start_child(arguments, how, failure);
  if (failure.error != 0)
    throw std::system_error(failure.error, std::system_category(), failure.what);
  own->pid = child.pid;
  own->pidfd = child.pidfd.release();
  own->has_group = how.group != process_group::inherit;
  on_failure.self = nullptr;  // from here on the destructor would be needed
  try {
    const std::string program = arguments[0];
    if (child.input.get() >= 0) own->input = file::adopt(child.input.release(), program);
    if (child.output.get() >= 0) own->output = file::adopt(child.output.release(), program);
    if (child.error.get() >= 0) own->error = file::adopt(child.error.release(), program);
  } catch (...) {
    const process ends(std::exchange(state_, nullptr));
    throw;
  }
}

process process::start(std::vector<std::string> arguments, const process_options& how,
                       std::error_code& ec) {
  ec.clear();
  try {
    return process(std::move(arguments), how);
  } catch (const std::system_error& e) {
    ec = e.code();
  } catch (const std::invalid_argument&) {
    ec = code_of(-EINVAL);
  }
  return {};
}

process& process::operator=(process&& other) noexcept {
  if (this == &other) return *this;
  const process ends(std::exchange(state_, std::exchange(other.state_, nullptr)));
  return *this;
}

process::~process() {
  if (!state_) return;
  if (state_->owner == this_process()) {
    state_->end_child();
    if (state_->hand_over() < 0) state_->reap_here();
  } else if (state_->pidfd >= 0) {
    io::close(state_->pidfd);
  }
  delete state_;
}

process::state& process::own() const {
  if (!state_) throw_no_child("the object is empty");
  if (state_->owner != this_process()) throw_no_child("the child is the parent's of this process");
  return *state_;
}

pid_t process::pid() const noexcept { return state_ ? state_->pid : 0; }

/// A wait for the end of a child: as long as it lives its pidfd stays open.
class process::waiting {
 public:
  explicit waiting(state& s) noexcept : state_(s) { s.begin_wait(); }
  waiting(const waiting&) = delete;
  waiting& operator=(const waiting&) = delete;
  ~waiting() { state_.end_wait(); }

 private:
  state& state_;
};

std::optional<exit_status> process::wait_until_deadline(detail::deadline until) {
  state& s = own();
  for (;;) {
    const waiting current(s);
    if (s.has_ended_now()) break;
    if (until == 0) return std::nullopt;
    std::error_code ec;
    if (!detail::ensure_worker(ec)) detail::throw_error(ec, "wait for a child");
    const int ready = io::wait_ready(s.pidfd, POLLIN, until);
    if (ready == -ETIMEDOUT) {
      until = 0;  // a last look
    } else {
      detail::finish(ready, ec);
      if (ec) detail::throw_error(ec, "wait for a child");
    }
  }
  if (s.is_lost) {
    throw_no_child(
        "something else in the program has taken the child's status: a wait for any child, or "
        "SIGCHLD is ignored");
  }
  return s.status;
}

detail::child_case_base::child_case_base(process& child) noexcept
    : descriptor_case(POLLIN), child_(&child) {}

int detail::child_case_base::hold() {
  process::state& s = child_->own();
  s.begin_wait();
  if (!s.has_ended_now()) return s.pidfd;
  find(POLLIN);
  return -1;
}

void detail::child_case_base::let_go() noexcept { child_->state_->end_wait(); }

bool detail::child_case_base::take() { return child_->state_->has_ended_now(); }

bool process::kill(int signal) {
  state& s = own();
  const std::lock_guard guard(s.lock);
  s.look();
  if (!s.runs()) return false;
  const long error = kernel::call(SYS_pidfd_send_signal, s.pidfd, signal, nullptr, 0);
  if (error == -ESRCH) return false;
  if (error < 0)
    detail::throw_error(code_of(error), "send signal " + std::to_string(signal) + " to a child");
  return true;
}

bool process::kill_group(int signal) {
  state& s = own();
  if (!s.has_group) {
    throw std::logic_error(
        "coir::process: kill_group is for a child with process_group::new_group or new_session");
  }
  const std::lock_guard guard(s.lock);
  if (!s.runs()) return false;
  const long error = kernel::call(SYS_kill, -s.pid, signal);
  if (error == -ESRCH) return false;
  if (error < 0)
    detail::throw_error(code_of(error), "send signal " + std::to_string(signal) + " to a group");
  return true;
}

void process::detach() {
  if (!state_) return;
  const int error = own().hand_over();
  if (error < 0) detail::throw_error(code_of(error), "detach a child");
  delete std::exchange(state_, nullptr);
}

file& process::input() { return own().input; }
file& process::output() { return own().output; }
file& process::error() { return own().error; }

namespace {

/// Writes what fits of `left`; how many bytes. Closes `to` when there is no more, or nobody reads.
std::size_t feed(file& to, std::string_view left) {
  std::size_t count = 0;
  if (!left.empty()) {
    const iovec part{const_cast<char*>(left.data()), left.size()};
    const ssize_t written = detail::try_write_pipe(to.native_handle(), &part, 1);
    if (written == -EAGAIN || written == -EINTR) return 0;
    if (written == -EPIPE) return to.close(), 0;
    std::error_code ec;
    count = detail::finish(written, ec);
    if (ec) detail::throw_error(ec, "write to " + to.name());
  }
  if (count == left.size()) to.close();
  return count;
}

/// Adds what there is to `all`; true when there was something. Closes `from` at its end.
bool collect(file& from, std::string& all, char* buffer) {
  const ssize_t got = kernel::read(from.native_handle(), buffer, read_step_bytes);
  if (got == -EAGAIN || got == -EINTR) return false;
  std::error_code ec;
  all.append(buffer, detail::finish(got, ec));
  if (ec) detail::throw_error(ec, "read from " + from.name());
  if (got == 0) from.close();
  return got > 0;
}

void check_size(const std::string& collected, std::size_t bytes_max, const file& from) {
  if (collected.size() > bytes_max)
    detail::throw_error(file_errc::file_too_long, "read from " + from.name());
}

}  // namespace

process_result process::communicate_until(detail::deadline until, std::string_view input,
                                          std::size_t bytes_max) {
  state& s = own();
  std::error_code ec;
  if (!detail::ensure_worker(ec)) detail::throw_error(ec, "communicate with a child");
  std::vector<char> memory(read_step_bytes);
  char* const buffer = memory.data();
  const auto take_ahead = [&](file& from, std::string& all) {
    while (from.ahead() > 0) all.append(buffer, from.take_ahead(buffer, read_step_bytes));
  };
  take_ahead(s.output, s.output_read);
  take_ahead(s.error, s.error_read);
  const auto left = [&] { return input.substr(std::min(s.input_written, input.size())); };
  if (s.input.is_open() && left().empty()) s.input.close();
  while (s.input.is_open() || s.output.is_open() || s.error.is_open()) {
    check_size(s.output_read, bytes_max, s.output);
    check_size(s.error_read, bytes_max, s.error);
    detail::throw_if_interrupted();  // also when the child writes so fast that there is no wait
    if (detail::now_ns() >= until) throw timeout();
    pollfd ends[] = {{s.input.native_handle(), POLLOUT, 0},
                     {s.output.native_handle(), POLLIN, 0},
                     {s.error.native_handle(), POLLIN, 0}};
    detail::finish(io::poll(ends, 3, until), ec);
    if (ec) detail::throw_error(ec, "communicate with a child");
    if (ends[0].revents) s.input_written += feed(s.input, left());
    if (ends[1].revents) collect(s.output, s.output_read, buffer);
    if (ends[2].revents) collect(s.error, s.error_read, buffer);
  }
  check_size(s.output_read, bytes_max, s.output);
  check_size(s.error_read, bytes_max, s.error);
  const std::optional<exit_status> status = wait_until_deadline(until);
  if (!status) throw timeout();
  return {*status, std::move(s.output_read), std::move(s.error_read), false};
}

/// run() and what it needs of a process.
struct process_runner {
  static void say(child_stream& stream, child_stream otherwise) noexcept {
    if (stream.how_ == child_stream::kind::unsaid) stream = otherwise;
  }

  static process_result run(std::vector<std::string> arguments, process_options how,
                            const run_limits& limits) {
    say(how.input, limits.input.empty() ? child_stream::null() : child_stream::pipe());
    say(how.output, child_stream::pipe());
    say(how.error, child_stream::pipe());
    process child(std::move(arguments), how);
    try {
      const detail::deadline until = detail::deadline_after(limits.timeout);
      return child.communicate_until(until, limits.input, limits.bytes_max);
    } catch (const timeout& e) {
      if (e.scope() != 0) throw;  // not of this call
    }
    return end_and_collect(child, limits.bytes_max);
  }

  /// Its time is up. What grandchildren still write is not waited for.
  static process_result end_and_collect(process& child, std::size_t bytes_max) {
    process::state& s = child.own();
    s.end_child();
    const exit_status status = child.wait();
    std::vector<char> buffer(read_step_bytes);
    constexpr int steps_max = 16;  // the largest pipe is 1 MiB
    const auto drain = [&](file& from, std::string& all) {
      for (int i = 0; i < steps_max && from.is_open() && collect(from, all, buffer.data()); ++i) {
      }
      all.resize(std::min(all.size(), bytes_max));
    };
    drain(s.output, s.output_read);
    drain(s.error, s.error_read);
    return {status, std::move(s.output_read), std::move(s.error_read), true};
  }
};

process_result run(std::vector<std::string> arguments, process_options how,
                   const run_limits& limits) {
  return process_runner::run(std::move(arguments), std::move(how), limits);
}

process_failed::process_failed(const std::string& command, process_result result)
    : std::runtime_error(command + ": " + result.status.text() +
                         (result.timed_out ? " (its time was up)" : "")),
      result_(std::move(result)) {}

process_failed::~process_failed() = default;

std::string check_output(std::vector<std::string> arguments, process_options how,
                         const run_limits& limits) {
  process_runner::say(how.error, child_stream::inherit());
  std::string command;
  for (const std::string& argument : arguments) command += (command.empty() ? "" : " ") + argument;
  process_result result = run(std::move(arguments), std::move(how), limits);
  if (result.timed_out || !result.status.success())
    throw process_failed(command, std::move(result));
  return std::move(result.output);
}

std::vector<std::string> current_environment() {
  std::vector<std::string> all;
  for (char** each = environ; each && *each; ++each) all.emplace_back(*each);
  return all;
}

}  // namespace coir
