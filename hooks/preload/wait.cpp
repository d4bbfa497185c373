// Waiting for child processes, and what waits inside libc: system, pclose, posix_spawn.
//
// The end of one child shows at a descriptor of it (pidfd), which is waited for as any other. What
// no descriptor shows is asked of the kernel in a region: any child, one of a group, and one that
// stops or goes on.
//
// A child that the program traces stops without its descriptor becoming readable, and wait reports
// that although nobody asked for it. So each wait for a descriptor is limited, and the child looked
// at again: after 10 ms first, later every second.
#include "hooks/preload/in_region.hpp"
#include "hooks/threads/descriptors.hpp"
#include "runtime/kernel/calls.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>

// The header says that wait4 never throws; a thread that is cancelled in it unwinds.
COIR_DEFINE_REAL_AS(wait4, pid_t(pid_t, int*, int, rusage*));
COIR_DEFINE_REAL(waitid);
COIR_DEFINE_REAL(pclose);
COIR_DEFINE_REAL(system);
COIR_DEFINE_REAL(posix_spawn);
COIR_DEFINE_REAL(posix_spawnp);

using namespace coir;
using namespace coir::hooks;

namespace {

constexpr std::int64_t first_look_ns = 10'000'000;
constexpr std::int64_t longest_look_ns = 1'000'000'000;

/// The descriptor of a child, or none yet; closed when a cancelled thread unwinds, too.
class child_descriptor {
 public:
  child_descriptor() noexcept = default;
  ~child_descriptor() {
    if (fd_ >= 0) kernel::close(fd_);
  }
  child_descriptor(const child_descriptor&) = delete;
  child_descriptor& operator=(const child_descriptor&) = delete;

  bool is_open() const noexcept { return fd_ >= 0; }
  int open(pid_t pid) noexcept {
    fd_ = static_cast<int>(kernel::call(SYS_pidfd_open, pid, 0));
    return fd_;
  }
  int await(threads::deadline until) noexcept {
    return threads::await_descriptor(fd_, POLLIN, until);
  }

 private:
  int fd_ = -1;
};

constexpr long no_descriptor = -ENOSYS;  // what await_child returns when a region has to do

/// Calls `look` (0: the child still runs; else the result) until it has a result. Once the
/// descriptor is open the number of the child cannot be another process's, so that a look which
/// finds it running is right to wait for it.
template <class Look>
long await_child(pid_t pid, Look look) {
  child_descriptor child;
  std::int64_t limit_ns = first_look_ns;
  for (;;) {
    if (const long result = look(); result != 0) return result;
    if (!child.is_open()) {
      const int error = child.open(pid);
      if (error < 0 && error != -ESRCH && error != -ECHILD) return no_descriptor;
      continue;
    }
    const int result = child.await(coir::detail::now_ns() + limit_ns);
    if (result == -ETIMEDOUT) limit_ns = std::min(2 * limit_ns, longest_look_ns);
    if (result == -EINTR) return result;
    if (result == -ECANCELED) ::pthread_testcancel();
    if (result < 0 && result != -ETIMEDOUT && result != -ERESTART) return no_descriptor;
  }
}

/// What all forms of wait but waitid are.
pid_t wait_for(pid_t pid, int* status, int options, rusage* usage) {
  threads::thread_fiber* const self = parking_fiber(family::process);
  if (!self || (options & WNOHANG)) return real::wait4(pid, status, options, usage);
  act_on_cancel(*self);
  auto look = [&]() noexcept {
    return kernel::call(SYS_wait4, pid, status, options | WNOHANG, usage);
  };
  const bool is_end_of_one = pid > 0 && (options & (WUNTRACED | WCONTINUED)) == 0;
  const long result = is_end_of_one ? await_child(pid, look) : look();
  const bool must_block = is_end_of_one ? result == no_descriptor : result == 0;
  if (!must_block) return static_cast<pid_t>(finish(result));
  return in_region([&] { return real::wait4(pid, status, options, usage); });
}

}  // namespace

/// hook: processes: waits for a child; for one by its descriptor, for any in a region
COIR_HOOK pid_t wait4(pid_t pid, int* status, int options, rusage* usage) {
  return wait_for(pid, status, options, usage);
}

/// hook: processes: as wait4
COIR_HOOK pid_t waitpid(pid_t pid, int* status, int options) {
  return wait_for(pid, status, options, nullptr);
}
COIR_HOOK pid_t __waitpid(pid_t, int*, int) COIR_HOOK_ALIAS(waitpid);

/// hook: processes: as wait4 for any child
COIR_HOOK pid_t wait(int* status) { return wait_for(WAIT_ANY, status, 0, nullptr); }
COIR_HOOK pid_t __wait(int*) COIR_HOOK_ALIAS(wait);

/// hook: processes: as wait4 for any child
COIR_HOOK pid_t wait3(int* status, int options, rusage* usage) {
  return wait_for(WAIT_ANY, status, options, usage);
}

/// hook: processes: as wait4, with more to choose from
COIR_HOOK int waitid(idtype_t type, id_t id, siginfo_t* info, int options) {
  threads::thread_fiber* const self = parking_fiber(family::process);
  if (!self || (options & WNOHANG)) return real::waitid(type, id, info, options);
  act_on_cancel(*self);
  const bool is_end_of_one =
      type == P_PID && (options & WEXITED) && (options & (WSTOPPED | WCONTINUED)) == 0;
  if (is_end_of_one) {
    siginfo_t found{};
    const long result = await_child(static_cast<pid_t>(id), [&]() noexcept -> long {
      found = {};
      const long looked = kernel::call(SYS_waitid, type, id, &found, options | WNOHANG, nullptr);
      return looked < 0 ? looked : found.si_pid;
    });
    if (result > 0) {
      if (info) *info = found;
      return 0;
    }
    if (result != no_descriptor) return finish(static_cast<int>(result));
  }
  return in_region([&] { return real::waitid(type, id, info, options); });
}

/// hook: processes: waits for the child of popen in a region
COIR_HOOK int pclose(FILE* stream) {
  if (!parking_fiber(family::process)) return real::pclose(stream);
  threads::keep_for_waiters(::fileno(stream));
  return in_region([&] { return real::pclose(stream); });
}

/// hook: processes: runs and waits for the command in a region
COIR_HOOK int system(const char* command) {
  if (!parking_fiber(family::process)) return real::system(command);
  return in_region([&] { return real::system(command); });
}

/// hook: processes: waits in a region until the child has its program
COIR_HOOK int posix_spawn(pid_t* pid, const char* path, const posix_spawn_file_actions_t* actions,
                          const posix_spawnattr_t* attributes, char* const arguments[],
                          char* const environment[]) {
  auto spawn = [&] {
    return real::posix_spawn(pid, path, actions, attributes, arguments, environment);
  };
  return parking_fiber(family::process) ? in_region(spawn) : spawn();
}

/// hook: processes: as posix_spawn
COIR_HOOK int posix_spawnp(pid_t* pid, const char* file, const posix_spawn_file_actions_t* actions,
                           const posix_spawnattr_t* attributes, char* const arguments[],
                           char* const environment[]) {
  auto spawn = [&] {
    return real::posix_spawnp(pid, file, actions, attributes, arguments, environment);
  };
  return parking_fiber(family::process) ? in_region(spawn) : spawn();
}
