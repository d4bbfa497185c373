// One thread waits in an epoll for all of them. It is started with the first child and ends with
// the last. When it cannot be started the descriptors wait in the epoll until it can.
#include "runtime/system/reaper.hpp"

#include "runtime/io/io.hpp"
#include "runtime/kernel/calls.hpp"
#include "runtime/kernel/thread_host.hpp"

#include <coir/detail/short_lock.hpp>

#include <cerrno>
#include <cstddef>
#include <memory>
#include <mutex>

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

namespace coir::detail {
namespace {

constinit short_lock lock;
// Guarded by it
constinit int epoll_fd = -1;
constinit std::size_t children = 0;
constinit bool has_thread = false;

/// One child was reaped; true when it was the last and the thread is to end.
bool is_last() noexcept {
  const std::lock_guard guard(lock);
  if (--children > 0) return false;
  has_thread = false;
  return true;
}

void* reap_children(void*) noexcept {
  pthread_setname_np(pthread_self(), "coir-reaper");
  for (;;) {
    epoll_event ended{};
    int count;
    {
      const kernel::blocking_section others_run;
      count = kernel::epoll_wait(epoll_fd, &ended, 1, -1);
    }
    if (count <= 0) continue;
    const int pidfd = ended.data.fd;
    int code = 0;
    int status = 0;
    if (reap_now(pidfd, code, status) == 0) continue;
    kernel::epoll_ctl(epoll_fd, EPOLL_CTL_DEL, pidfd, nullptr);
    io::close(pidfd);
    if (is_last()) return nullptr;
  }
}

/// Without the lock, which must not be held while the process gets its second thread.
bool start_thread() noexcept {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  const int error = pthread_create(&thread, nullptr, reap_children, nullptr);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (error == 0) pthread_detach(thread);
  return error == 0;
}

void lock_for_fork() noexcept { lock.lock(); }
void unlock_after_fork() noexcept { lock.unlock(); }

/// The children are not the new process's, and the thread is not here.
void forget_in_child() noexcept {
  if (epoll_fd >= 0) kernel::close(epoll_fd);
  epoll_fd = -1;
  children = 0;
  has_thread = false;
  std::construct_at(&lock);
}

/// By the lock; 0 or -errno.
int add(int pidfd) noexcept {
  if (epoll_fd < 0) {
    const int made = kernel::epoll_create1(EPOLL_CLOEXEC);
    if (made < 0) return made;
    epoll_fd = made;
  }
  epoll_event wanted{};
  wanted.events = EPOLLIN;
  wanted.data.fd = pidfd;
  const int error = kernel::epoll_ctl(epoll_fd, EPOLL_CTL_ADD, pidfd, &wanted);
  if (error == 0) ++children;
  return error;
}

}  // namespace

int reap_in_background(int pidfd) noexcept {
  static const int installed = pthread_atfork(lock_for_fork, unlock_after_fork, forget_in_child);
  (void)installed;
  kernel::find_thread_host();
  bool needs_thread = false;
  {
    const std::lock_guard guard(lock);
    if (const int error = add(pidfd); error < 0) return error;
    needs_thread = !has_thread;
    has_thread = true;
  }
  if (needs_thread && !start_thread()) {
    const std::lock_guard guard(lock);
    has_thread = false;  // the next child tries again
  }
  return 0;
}

int reap_now(int pidfd, int& code, int& status) noexcept {
  constexpr int by_pidfd = 3;  // P_PIDFD
  siginfo_t info{};
  const long error = kernel::call(SYS_waitid, by_pidfd, pidfd, &info, WEXITED | WNOHANG, nullptr);
  if (error < 0) return static_cast<int>(error);
  if (info.si_pid == 0) return 0;
  code = info.si_code;
  status = info.si_status;
  return 1;
}

}  // namespace coir::detail
