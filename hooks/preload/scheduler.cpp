// Puts the runtime of threads under the cooperative calls of runtime/io, and into the process.
#include "hooks/preload/preload.hpp"
#include "hooks/threads/counters.hpp"
#include "hooks/threads/descriptors.hpp"
#include "hooks/threads/report.hpp"
#include "hooks/threads/settings.hpp"
#include "hooks/threads/signals.hpp"
#include "hooks/threads/thread.hpp"
#include "hooks/threads/thread_memory.hpp"
#include "runtime/io/thread_scheduler.hpp"
#include "runtime/kernel/calls.hpp"

#include <cstring>

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

namespace coir::hooks {
namespace {

class preloaded_threads final : public io::thread_scheduler {
 public:
  bool may_park() noexcept override { return parking_fiber() != nullptr; }

  int await_ready(int& fd, short events, detail::deadline until) noexcept override {
    return threads::await_descriptor(fd, events, until);
  }
  int await_any(const pollfd* fds, nfds_t count, detail::deadline until) noexcept override {
    return threads::await_descriptors(fds, count, until);
  }
  int sleep_until(detail::deadline until) noexcept override {
    threads::thread_fiber& self = *threads::current();
    threads::count(threads::counter::sleeps);
    // A handler that runs between two parks ends the sleep as well.
    const threads::handler_watch watch(self);
    for (;;) {
      threads::prepare_to_park(self, true);
      switch (threads::park(self, until)) {
        case threads::wake_cause::timed_out:
          return 0;
        case threads::wake_cause::cancelled:
          return -ECANCELED;
        case threads::wake_cause::signalled:
          return -EINTR;
        case threads::wake_cause::woken:
          break;
      }
    }
  }
  void yield() noexcept override { threads::yield(); }
  void count_call() noexcept override { threads::count_call(); }
  bool is_plain_stream(int fd) noexcept override { return threads::is_plain_stream(fd); }
  void note_plain_stream(int fd) noexcept override { threads::note_plain_stream(fd); }
  bool is_dry(int fd) noexcept override { return threads::is_dry(fd); }
  void note_dry(int fd) noexcept override { threads::note_dry(fd); }
  void forget_notes(int fd) noexcept override {
    if (threads::sched->is_on.load(std::memory_order_relaxed)) threads::forget_notes(fd);
  }
  void begin_blocking() noexcept override { threads::enter_region(); }
  void end_blocking() noexcept override { threads::leave_region(); }
  void before_close(int fd) noexcept override {
    if (threads::sched->is_on.load(std::memory_order_relaxed)) threads::keep_for_waiters(fd);
  }
  int hidden_descriptor(unsigned first, unsigned last) noexcept override {
    return threads::lowest_runtime_descriptor(first, last);
  }
  bool open_mask_window(const sigset_t& mask, sigset_t& old) noexcept override {
    threads::thread_fiber& self = *threads::current();
    self.has_run_handler = false;
    self.restarts_calls = false;
    self.is_watching_handlers = true;
    ::pthread_sigmask(SIG_SETMASK, &mask, &old);
    return self.has_run_handler;
  }
  void close_mask_window(const sigset_t& old) noexcept override {
    threads::current()->is_watching_handlers = false;
    ::pthread_sigmask(SIG_SETMASK, &old, nullptr);
  }
  void test_cancel() override {
    threads::rejoin_if_stuck();
    if (threads::is_cancelled(*threads::current())) ::pthread_testcancel();
  }
};

/// Lives as long as the process: threads may run until its very end.
constinit preloaded_threads scheduler;

[[gnu::constructor]] void begin() noexcept {
  threads::read_settings();
  if (!threads::settings().makes_fibers) return;
  threads::watch_forks();
  io::use_thread_scheduler(scheduler);
}

[[gnu::destructor]] void report() noexcept {
  const char* const where = threads::settings().report;
  if (!where || !threads::sched->is_on.load(std::memory_order_relaxed)) return;
  if (std::strcmp(where, "1") == 0) {
    threads::print_report(STDERR_FILENO);
    return;
  }
  constexpr int readable_by_all = 0644;
  const long fd = kernel::call(SYS_openat, AT_FDCWD, where,
                               O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, readable_by_all);
  threads::print_report(fd < 0 ? STDERR_FILENO : static_cast<int>(fd));
  if (fd >= 0) kernel::close(static_cast<int>(fd));
}

}  // namespace
}  // namespace coir::hooks
