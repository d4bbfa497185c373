// One handler serves all sets. It looks through a table of fixed size for those that want the
// signal and writes a record into the pipe of each: a pipe takes records from all threads at a time
// and in order, and can be waited for by any worker.
//
//   1. A set is in the table before its handler is installed, and out of it after the handler is
//      gone, or only no longer wanted.
//   2. A handler counts itself in handlers_running before it looks at the table. A set leaves the
//      table, waits until that count is zero, and only then closes its pipe: so no handler writes
//      into a descriptor that is somebody else's by then. A handler of the leaving thread itself
//      has returned whenever that thread runs.
//   3. In the child of a fork the pipes are the parent's. The handler compares the process before
//      it writes; the fork handler puts the former dispositions back and sends the child again what
//      came in between.
//
// Rejected: signalfd. It needs the signals blocked in every thread, those of libraries included,
// that the program has or will have, or the default action ends the process; every child inherits
// the mask; and each signal goes to one reader only.
#include <coir/signal_set.hpp>

#include "runtime/io/io.hpp"
#include "runtime/kernel/calls.hpp"
#include "runtime/system/edge.hpp"

#include <coir/detail/short_lock.hpp>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <memory>
#include <mutex>
#include <stdexcept>

#include <pthread.h>

namespace coir {
namespace {

constexpr int places_max = 64;  // the handler looks at all of them
constexpr int signal_max = 64;

/// What the handler knows of a set.
struct place {
  std::atomic<std::uint64_t> signals{0};  ///< 0: no set is here, or it wants no more
  std::atomic<std::uint64_t> dropped{0};
  std::atomic<int> writer{-1};
  bool is_used = false;  ///< guarded by table_lock
};

constinit place places[places_max];
constinit detail::short_lock table_lock;
constinit int users[signal_max + 1] = {};                // sets that want the signal; by table_lock
constinit struct sigaction former[signal_max + 1] = {};  // by table_lock
constinit std::atomic<int> handlers_running{0};
constinit std::atomic<pid_t> owner_process{0};
constinit std::atomic<std::uint64_t> came_to_child{0};

pid_t this_process() noexcept { return static_cast<pid_t>(kernel::call(SYS_getpid)); }

constexpr std::uint64_t bit_of(int number) noexcept { return std::uint64_t{1} << (number - 1); }

signal_info info_of(int number, const siginfo_t& from) noexcept {
  signal_info info;
  info.number = number;
  info.code = from.si_code;
  const bool is_child = number == SIGCHLD && from.si_code > 0;
  const bool is_sent =
      from.si_code == SI_USER || from.si_code == SI_QUEUE || from.si_code == SI_TKILL;
  if (is_child || is_sent) {
    info.pid = from.si_pid;
    info.uid = from.si_uid;
  }
  if (is_child) info.value = from.si_status;
  if (from.si_code == SI_QUEUE) info.value = from.si_value.sival_int;
  return info;
}

/// The handler: atomics and raw system calls only, so that it may run anywhere and errno stays.
void note_signal(int number, siginfo_t* from, void*) noexcept {
  handlers_running.fetch_add(1, std::memory_order_seq_cst);
  if (this_process() != owner_process.load(std::memory_order_relaxed)) {
    came_to_child.fetch_or(bit_of(number), std::memory_order_relaxed);
  } else {
    const signal_info info = info_of(number, *from);
    for (place& p : places) {
      if (!(p.signals.load(std::memory_order_seq_cst) & bit_of(number))) continue;
      const ssize_t written =
          kernel::write(p.writer.load(std::memory_order_relaxed), &info, sizeof info);
      if (written < 0) p.dropped.fetch_add(1, std::memory_order_relaxed);
    }
  }
  handlers_running.fetch_sub(1, std::memory_order_seq_cst);
}

bool is_ours(const struct sigaction& action) noexcept {
  return action.sa_flags & SA_SIGINFO && action.sa_sigaction == note_signal;
}

/// By table_lock.
void install(int number) noexcept {
  struct sigaction ours {};
  ours.sa_sigaction = note_signal;
  ours.sa_flags = SA_SIGINFO | SA_RESTART;
  sigfillset(&ours.sa_mask);
  struct sigaction before {};
  sigaction(number, &ours, &before);
  if (!is_ours(before)) former[number] = before;
  ++users[number];
}

/// By table_lock.
void put_back(int number) noexcept {
  struct sigaction now {};
  if (sigaction(number, nullptr, &now) == 0 && is_ours(now))
    sigaction(number, &former[number], nullptr);
}

struct fork_handlers {
  static void prepare() noexcept { table_lock.lock(); }
  static void in_parent() noexcept { table_lock.unlock(); }
  static void in_child() noexcept {
    for (place& p : places) {
      p.signals.store(0);
      p.is_used = false;
    }
    for (int number = 1; number <= signal_max; ++number) {
      if (users[number] > 0) put_back(number);
      users[number] = 0;
    }
    handlers_running.store(0);
    std::construct_at(&table_lock);
    const std::uint64_t came = came_to_child.exchange(0);
    for (int number = 1; number <= signal_max; ++number) {
      if (came & bit_of(number)) kernel::call(SYS_kill, this_process(), number);
    }
  }
};

void check_number(int number) {
  const bool is_internal = number > 31 && number < SIGRTMIN;
  if (number < 1 || number > signal_max || is_internal) {
    throw std::invalid_argument("coir::signal_set: " + std::to_string(number) +
                                " is no number of a signal");
  }
  for (const int refused : {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP}) {
    if (number != refused) continue;
    throw std::invalid_argument(std::string("coir::signal_set: SIG") + sigabbrev_np(number) +
                                " cannot be waited for");
  }
}

/// By table_lock; -1 when all places are taken.
int free_place() noexcept {
  for (int i = 0; i < places_max; ++i) {
    if (!places[i].is_used) return i;
  }
  return -1;
}

}  // namespace

std::string signal_info::text() const {
  const char* const name = number > 0 ? sigabbrev_np(number) : nullptr;
  std::string text = name ? std::string("SIG") + name : "signal " + std::to_string(number);
  if (pid != 0) text += " from process " + std::to_string(pid);
  return text;
}

signal_set::signal_set(std::span<const int> signals) : owner_(this_process()) {
  for (const int number : signals) {
    check_number(number);
    signals_ |= bit_of(number);
  }
  static const int installed =
      pthread_atfork(fork_handlers::prepare, fork_handlers::in_parent, fork_handlers::in_child);
  (void)installed;
  detail::owned_fd reader;
  detail::owned_fd writer;
  int error = detail::make_pipe(reader, writer);
  if (error == 0) error = kernel::fcntl(reader.get(), F_SETFL, O_NONBLOCK);
  if (error == 0) error = kernel::fcntl(writer.get(), F_SETFL, O_NONBLOCK);
  if (error < 0) detail::throw_error(detail::code_of(error), "coir::signal_set: make a pipe");
  {
    const std::lock_guard guard(table_lock);
    place_ = free_place();
    if (place_ >= 0) {
      place& own = places[place_];
      own.is_used = true;
      own.dropped.store(0);
      own.writer.store(writer.get());
      owner_process.store(owner_);
      own.signals.store(signals_);
      for (int number = 1; number <= signal_max; ++number) {
        if (signals_ & bit_of(number)) install(number);
      }
    }
  }
  if (place_ < 0) {
    throw std::system_error(EAGAIN, std::system_category(),
                            "coir::signal_set: 64 sets live at a time at most");
  }
  reader_ = reader.release();
  writer_ = writer.release();
  sigset_t own_signals;
  sigemptyset(&own_signals);
  for (const int number : signals) sigaddset(&own_signals, number);
  pthread_sigmask(SIG_UNBLOCK, &own_signals, nullptr);
}

signal_set::~signal_set() {
  if (owner_ == this_process()) {
    const std::lock_guard guard(table_lock);
    for (int number = 1; number <= signal_max; ++number) {
      if (signals_ & bit_of(number) && --users[number] == 0) put_back(number);
    }
    places[place_].signals.store(0, std::memory_order_seq_cst);
    while (handlers_running.load(std::memory_order_seq_cst) != 0) kernel::call(SYS_sched_yield);
    places[place_].is_used = false;
  }
  io::close(reader_);
  io::close(writer_);
}

signal_info signal_set::wait() { return *wait_until_deadline(detail::never); }

void signal_set::expect_owner() const {
  if (owner_ == this_process()) return;
  detail::throw_error(detail::code_of(-EPERM),
                      "coir::signal_set: this set belongs to the parent of the process");
}

/// One that has come; nothing when there is none.
std::optional<signal_info> signal_set::take() {
  for (;;) {
    signal_info info;
    const ssize_t got = kernel::read(reader_, &info, sizeof info);
    if (got == sizeof info) return info;
    if (got == -EAGAIN) return std::nullopt;
    if (got != -EINTR)
      detail::throw_error(detail::code_of(got < 0 ? got : -EIO), "coir::signal_set: wait");
  }
}

std::optional<signal_info> signal_set::wait_until_deadline(detail::deadline until) {
  expect_owner();
  for (;;) {
    if (const auto taken = take()) return taken;
    if (until == 0) return std::nullopt;
    std::error_code ec;
    if (!detail::ensure_worker(ec)) detail::throw_error(ec, "coir::signal_set: wait");
    const int ready = io::wait_ready(reader_, POLLIN, until);
    if (ready == -ETIMEDOUT) {
      until = 0;  // a last look
    } else {
      detail::finish(ready, ec);
      if (ec) detail::throw_error(ec, "coir::signal_set: wait");
    }
  }
}

detail::signal_case_base::signal_case_base(signal_set& from) noexcept
    : descriptor_case(POLLIN), from_(&from) {}

int detail::signal_case_base::hold() {
  from_->expect_owner();
  return from_->reader_;
}

bool detail::signal_case_base::take() {
  const auto taken = from_->take();
  if (taken) info_ = *taken;
  return taken.has_value();
}

bool signal_set::contains(int number) const noexcept {
  return number >= 1 && number <= signal_max && signals_ & bit_of(number);
}

std::uint64_t signal_set::dropped() const noexcept {
  return owner_ == this_process() ? places[place_].dropped.load(std::memory_order_relaxed) : 0;
}

int signal_set::native_handle() const noexcept { return reader_; }

}  // namespace coir
