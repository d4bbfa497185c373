// The parent waits for signals and for nothing else, so it needs no handlers: it blocks them and
// takes them one by one. A child unblocks them once its own handler is there, which writes a byte
// into a socket pair that a fiber reads: a handler may call next to nothing.
#include <coir/net/server_processes.hpp>

#include "net/cooperative.hpp"
#include "net/door.hpp"
#include "net/tell.hpp"
#include "runtime/kernel/calls.hpp"

#include <coir/coir.hpp>
#include <coir/net/unix_stream.hpp>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace coir::net {
namespace {

constexpr std::int64_t ns_per_s = 1'000'000'000;
constexpr std::int64_t early_ns = ns_per_s;
constexpr std::int64_t first_pause_ns = ns_per_s / 20;
constexpr std::int64_t longest_pause_ns = ns_per_s;
constexpr std::size_t kernel_set_bytes = 8;  // of a signal set, as the kernel has it

/// What a child's handler can reach; -1 in the parent.
std::atomic<int> handler_socket{-1};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler must not lock");

void tell_waiter(int) {
  const char byte = 0;
  kernel::sendto(handler_socket.load(), &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL, nullptr, 0);
}

/// Blocks the signals that a parent waits for.
class blocked_signals {
 public:
  blocked_signals() noexcept {
    sigemptyset(&set_);
    for (const int each : {SIGTERM, SIGINT, SIGCHLD}) sigaddset(&set_, each);
    kernel::call(SYS_rt_sigprocmask, SIG_BLOCK, &set_, &former_, kernel_set_bytes);
  }
  blocked_signals(const blocked_signals&) = delete;
  blocked_signals& operator=(const blocked_signals&) = delete;
  ~blocked_signals() { restore(); }
  void restore() noexcept {
    kernel::call(SYS_rt_sigprocmask, SIG_SETMASK, &former_, nullptr, kernel_set_bytes);
  }
  /// The next of them, or a negative number when `until` passes first.
  int wait(coir::detail::deadline until) noexcept {
    const std::int64_t left = std::max<std::int64_t>(0, until - coir::detail::now_ns());
    const timespec timeout{left / ns_per_s, left % ns_per_s};
    const bool is_endless = until == coir::detail::never;
    return static_cast<int>(kernel::call(SYS_rt_sigtimedwait, &set_, nullptr,
                                         is_endless ? nullptr : &timeout, kernel_set_bytes));
  }

 private:
  sigset_t set_{};
  sigset_t former_{};
};

std::size_t processors() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return static_cast<std::size_t>(CPU_COUNT(&set));
}

std::string cause_of(int status) {
  if (WIFSIGNALED(status)) return "was ended by signal " + std::to_string(WTERMSIG(status));
  return "ended with status " + std::to_string(WEXITSTATUS(status));
}

/// The children and their parent.
class nursery {
 public:
  nursery(endpoints listeners, const server_process_options& how,
          const std::function<void(server_process&)>& serve)
      : how_(how), serve_(serve), listeners_(std::move(listeners)), children_(count_of(how)) {}
  nursery(const nursery&) = delete;
  nursery& operator=(const nursery&) = delete;
  /// Kills those that are left, for when an exception leaves watch().
  ~nursery() {
    signal_all(SIGKILL);
    for (child& each : children_) {
      if (each.pid > 0) kernel::call(SYS_wait4, each.pid, nullptr, 0, nullptr);
    }
  }

  void watch();

 private:
  struct child {
    pid_t pid = 0;  ///< 0: there is none
    std::int64_t begun_ns = 0;
    std::int64_t due_ns = 0;  ///< when it is to be begun, without a pid
  };

  static std::size_t count_of(const server_process_options& how) {
    return how.count ? how.count : processors();
  }
  void begin_due();
  void begin(std::size_t number);
  [[noreturn]] void live(std::size_t number, pid_t parent);
  int serve(std::size_t number);
  void reap();
  void bury(std::size_t number, int status);
  void begin_stop();
  void signal_all(int signal) noexcept;
  bool have_all_ended() const;
  coir::detail::deadline next_due() const;

  const server_process_options& how_;
  const std::function<void(server_process&)>& serve_;
  endpoints listeners_;
  std::vector<child> children_;
  blocked_signals signals_;
  std::size_t early_deaths_ = 0;
  std::int64_t pause_ns_ = first_pause_ns;
  bool is_stopping_ = false;
  std::int64_t kill_ns_ = coir::detail::never;
};

void nursery::watch() {
  while (!is_stopping_ || !have_all_ended()) {
    if (!is_stopping_) begin_due();
    const int got = signals_.wait(next_due());
    if (got == SIGTERM || got == SIGINT) begin_stop();
    if (coir::detail::now_ns() >= kill_ns_) signal_all(SIGKILL);
    if (coir::detail::now_ns() >= kill_ns_) kill_ns_ = coir::detail::never;
    reap();
  }
}

void nursery::begin_due() {
  const std::int64_t now = coir::detail::now_ns();
  for (std::size_t i = 0; i < children_.size(); ++i) {
    if (children_[i].pid == 0 && children_[i].due_ns <= now) begin(i);
  }
}

void nursery::begin(std::size_t number) {
  std::fflush(nullptr);  // or the child writes it as well
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid == 0) live(number, parent);
  if (pid < 0) throw std::system_error(errno, std::system_category(), "fork a server process");
  children_[number] = {pid, coir::detail::now_ns(), 0};
}

/// The life of a child. It leaves without the parent's clean-up, which is not its own.
void nursery::live(std::size_t number, pid_t parent) {
  int status = 1;
  kernel::call(SYS_prctl, PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() == parent) status = serve(number);
  std::fflush(nullptr);
  ::_exit(status);
}

int nursery::serve(std::size_t number) {
  try {
    auto [reading, writing] = unix_stream::pair();
    handler_socket = writing.native_handle();
    struct sigaction action {};
    action.sa_handler = tell_waiter;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    for (const int each : {SIGTERM, SIGINT}) ::sigaction(each, &action, nullptr);
    signals_.restore();
    event stop_asked;
    const fiber<> waiter = spawn({.name = "stop signal"}, [&, &from = reading] {
      char byte;
      from.read_exactly(mutable_buffer(&byte, 1));
      stop_asked.set();
    });
    server_process self{number, std::move(listeners_), stop_asked};
    serve_(self);
    waiter.kill();
    return 0;
  } catch (const std::exception& error) {
    detail::tell("the server process " + std::to_string(::getpid()) + " failed: " + error.what());
  } catch (...) {
    detail::tell("the server process " + std::to_string(::getpid()) + " failed");
  }
  return 1;
}

void nursery::reap() {
  for (std::size_t i = 0; i < children_.size(); ++i) {
    int status = 0;
    if (children_[i].pid == 0) continue;
    if (kernel::call(SYS_wait4, children_[i].pid, &status, WNOHANG, nullptr) == children_[i].pid) {
      bury(i, status);
    }
  }
}

void nursery::bury(std::size_t number, int status) {
  child& dead = children_[number];
  const std::int64_t now = coir::detail::now_ns();
  const bool is_early = now - dead.begun_ns < early_ns;
  const std::string who = "the server process " + std::to_string(dead.pid) + " " + cause_of(status);
  dead = {};
  if (is_stopping_) return;
  early_deaths_ = is_early ? early_deaths_ + 1 : 0;
  if (!is_early) pause_ns_ = first_pause_ns;
  if (early_deaths_ > how_.early_deaths_max) {
    throw std::runtime_error("coir: " + who + ", as " + std::to_string(how_.early_deaths_max) +
                             " did before it, each within a second: see what they have said");
  }
  detail::tell(who + "; another one takes its place");
  if (!is_early) return;
  dead.due_ns = now + pause_ns_;
  pause_ns_ = std::min(2 * pause_ns_, longest_pause_ns);
}

void nursery::begin_stop() {
  if (is_stopping_) return signal_all(SIGKILL);
  is_stopping_ = true;
  listeners_ = endpoints();
  const std::chrono::nanoseconds patience = how_.grace + std::chrono::seconds(2);
  kill_ns_ = coir::detail::deadline_after(patience);
  signal_all(SIGTERM);
}

void nursery::signal_all(int signal) noexcept {
  for (const child& each : children_) {
    if (each.pid > 0) kernel::call(SYS_kill, each.pid, signal);
  }
}

bool nursery::have_all_ended() const {
  return std::ranges::all_of(children_, [](const child& each) { return each.pid == 0; });
}

coir::detail::deadline nursery::next_due() const {
  if (is_stopping_) return kill_ns_;
  coir::detail::deadline next = coir::detail::never;
  for (const child& each : children_) {
    if (each.pid == 0) next = std::min(next, each.due_ns);
  }
  return next;
}

}  // namespace

void serve_in_processes(endpoints where, const server_process_options& how,
                        const std::function<void(server_process& self)>& serve) {
  if (where.empty()) throw std::invalid_argument("coir: a server needs an address or a listener");
  endpoints listeners(where.take_listeners());
  for (const address& local : where.addresses()) {
    std::error_code ec;
    any_listener made = detail::listen_at(local, {listener::default_backlog, false, false}, ec);
    if (ec) detail::throw_error(ec, "listen on " + local.to_string());
    listeners.add(std::move(made));
  }
  nursery children(std::move(listeners), how, serve);
  children.watch();
}

}  // namespace coir::net
