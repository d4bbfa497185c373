// posix_spawn does the work: glibc's runs on the parent's memory until the exec, so that it costs
// the same for a process of any size, and takes care of signals in between. It keeps its thread
// until the exec is done, which is a look at the disk: so an offload thread calls it.
//
// The child gets its three standard streams by dup2, and everything from descriptor 3 on is closed.
// A stream's source must not stand at the place of another stream before it was copied: so sources
// below 3 are moved up in the parent first.
//
// The child's pidfd is opened after it has started; its number cannot be another process's as long
// as it was not waited for. So that there is a descriptor left for it then, one is held before.
#include "runtime/system/process_start.hpp"

#include "runtime/io/offload.hpp"
#include "runtime/kernel/calls.hpp"
#include "runtime/kernel/thread_host.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <exception>
#include <new>
#include <span>
#include <stdexcept>

#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace coir {

using detail::owned_fd;

namespace {

constexpr int stream_count = 3;

int open_pidfd(pid_t pid) noexcept {
  return static_cast<int>(kernel::call(SYS_pidfd_open, pid, 0));
}

/// The arrays of pointers that exec wants.
class pointer_list {
 public:
  /// Of texts that outlive the list.
  explicit pointer_list(std::span<const std::string> texts) {
    for (const std::string& text : texts) pointers_.push_back(const_cast<char*>(text.c_str()));
    pointers_.push_back(nullptr);
  }
  char** get() noexcept { return pointers_.data(); }

 private:
  std::vector<char*> pointers_;
};

class spawn_actions {
 public:
  spawn_actions() { check(posix_spawn_file_actions_init(&actions_)); }
  spawn_actions(const spawn_actions&) = delete;
  spawn_actions& operator=(const spawn_actions&) = delete;
  ~spawn_actions() { posix_spawn_file_actions_destroy(&actions_); }

  void copy(int from, int to) { check(posix_spawn_file_actions_adddup2(&actions_, from, to)); }
  void close(int fd) { check(posix_spawn_file_actions_addclose(&actions_, fd)); }
  void close_from(int fd) { check(posix_spawn_file_actions_addclosefrom_np(&actions_, fd)); }
  void go_to(const std::string& folder) {
    check(posix_spawn_file_actions_addchdir_np(&actions_, folder.c_str()));
  }
  const posix_spawn_file_actions_t* get() const noexcept { return &actions_; }

 private:
  static void check(int error) {
    if (error != 0) throw std::bad_alloc();
  }
  posix_spawn_file_actions_t actions_;
};

/// No signal blocked, and all of them, or those that are caught, at their defaults.
class spawn_attributes {
 public:
  explicit spawn_attributes(const process_options& how) {
    if (posix_spawnattr_init(&attributes_) != 0) throw std::bad_alloc();
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    int flags = POSIX_SPAWN_SETSIGMASK;
    if (!how.keep_ignored_signals) flags |= POSIX_SPAWN_SETSIGDEF;
    if (how.group == process_group::new_group) flags |= POSIX_SPAWN_SETPGROUP;  // 0: its own
    if (how.group == process_group::new_session) flags |= POSIX_SPAWN_SETSID;
    posix_spawnattr_setflags(&attributes_, static_cast<short>(flags));
  }
  spawn_attributes(const spawn_attributes&) = delete;
  spawn_attributes& operator=(const spawn_attributes&) = delete;
  ~spawn_attributes() { posix_spawnattr_destroy(&attributes_); }
  const posix_spawnattr_t* get() const noexcept { return &attributes_; }

 private:
  posix_spawnattr_t attributes_;
};

bool has_nul(const std::string& text) noexcept { return text.find('\0') != std::string::npos; }

void check_texts(const std::vector<std::string>& arguments, const process_options& how) {
  if (arguments.empty() || (arguments[0].empty() && how.program.empty()))
    throw std::invalid_argument("coir::process: the first argument must name a program");
  bool is_bad = has_nul(how.working_directory) || has_nul(how.program);
  for (const std::string& text : arguments) is_bad = is_bad || has_nul(text);
  if (is_bad) throw std::invalid_argument("coir::process: a NUL byte cannot be passed on");
  if (!how.environment) return;
  for (const std::string& text : *how.environment) {
    if (has_nul(text) || text.find('=') == std::string::npos)
      throw std::invalid_argument("coir::process: no NAME=value of an environment: " + text);
  }
}

/// PATH as the child will have it; the system's default where it has none.
std::string path_of(const process_options& how) {
  constexpr char usual[] = "/bin:/usr/bin";
  if (!how.environment) {
    const char* const path = std::getenv("PATH");
    return path ? path : usual;
  }
  for (const std::string& text : *how.environment) {
    if (text.starts_with("PATH=")) return text.substr(5);
  }
  return usual;
}

/// `path` as it is for the caller, when it is relative to where the child starts.
std::string seen_from_here(const std::string& path, const process_options& how) {
  if (path.starts_with('/') || how.working_directory.empty()) return path;
  return how.working_directory + '/' + path;
}

/// 0 when `path` is a file that may be executed, or -errno.
int executable(const std::string& path) noexcept {
  struct stat status {};
  const long found = kernel::call(SYS_newfstatat, AT_FDCWD, path.c_str(), &status, 0);
  if (found < 0) return static_cast<int>(found);
  if (!S_ISREG(status.st_mode)) return -EACCES;
  return static_cast<int>(kernel::call(SYS_faccessat, AT_FDCWD, path.c_str(), X_OK));
}

/// Where the program is: as it is given, or the first file of PATH that may be executed. Without
/// one, `error` says why: EACCES when there was one that may not.
std::string find_program(const std::string& name, const process_options& how, int& error) {
  if (!how.search_path || name.find('/') != std::string::npos) return name;
  const std::string path = path_of(how);
  error = ENOENT;
  for (std::size_t at = 0; at <= path.size();) {
    const std::size_t end = std::min(path.find(':', at), path.size());
    const std::string folder = path.substr(at, end - at);
    std::string candidate = (folder.empty() ? "." : folder) + '/' + name;
    const int found = executable(seen_from_here(candidate, how));
    if (found == 0) {
      error = 0;
      return candidate;
    }
    if (found == -EACCES) error = EACCES;
    at = end + 1;
  }
  return name;
}

/// Why an exec has failed, where the code alone misleads.
std::string explain(const std::string& program, const process_options& how, int error) {
  std::string what = "run " + program;
  struct stat status {};
  const std::string& folder = how.working_directory;
  if (!folder.empty()) {
    const long found = kernel::call(SYS_newfstatat, AT_FDCWD, folder.c_str(), &status, 0);
    if (found < 0 || !S_ISDIR(status.st_mode)) return what + " in " + folder;
  }
  if (error == ENOENT && executable(seen_from_here(program, how)) == 0)
    return what + " (is the interpreter missing that its first line names?)";
  if (error == ENOEXEC) return what + " (a script needs a first line such as #!/bin/sh)";
  if (error == EAGAIN) return what + " (raise ulimit -u)";
  if (error == E2BIG) return what + " (arguments and environment are too large)";
  return what;
}

int open_null() noexcept {
  return static_cast<int>(kernel::call(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC, 0));
}

}  // namespace

/// What is prepared in the parent for one start.
struct child_setup {
  child_setup(const std::vector<std::string>& arguments, const process_options& options)
      : how(options),
        argument_list(arguments),
        environment_list(options.environment ? std::span<const std::string>(*options.environment)
                                             : std::span<const std::string>()),
        attributes(options),
        program(options.program.empty() ? arguments[0] : options.program) {}

  const process_options& how;
  pointer_list argument_list;
  pointer_list environment_list;
  spawn_attributes attributes;
  spawn_actions actions;
  std::string program;
  owned_fd kept[stream_count];  ///< open in the parent until the child runs
  owned_fd place_of_pidfd;
  int sources[stream_count] = {-1, -1, -1};
  started_child child;
  start_failure failure;

  bool fail(int negative_errno, std::string what) {
    failure.error = -negative_errno;
    failure.what = std::move(what);
    if (failure.error == EMFILE || failure.error == ENFILE)
      failure.what += " (a child needs some descriptors; raise ulimit -n, or run fewer at a time)";
    return false;
  }

  bool prepare() {
    place_of_pidfd = owned_fd(open_pidfd(static_cast<pid_t>(kernel::call(SYS_getpid))));
    if (const int refused = place_of_pidfd.get(); refused < 0) {
      const bool is_missing = refused == -ENOSYS || refused == -EPERM;
      return fail(
          refused,
          "run " + program + (is_missing ? " (coir::process needs pidfd_open of Linux 5.3)" : ""));
    }
    if (!prepare_stream(0, how.input, child.input)) return false;
    if (!prepare_stream(1, how.output, child.output)) return false;
    if (!prepare_stream(2, how.error, child.error)) return false;
    for (int i = 0; i < stream_count; ++i) {
      if (sources[i] >= 0) actions.copy(sources[i], i);
    }
    if (!keep_descriptors()) return false;
    if (!how.working_directory.empty()) actions.go_to(how.working_directory);
    return true;
  }

  /// Finds or makes the descriptor that becomes stream `number`, and the parent's end of a pipe.
  bool prepare_stream(int number, const child_stream& stream, owned_fd& parents_end) {
    using kind = child_stream::kind;
    owned_fd& own = kept[number];
    int error = 0;
    switch (stream.how_) {
      case kind::unsaid:
      case kind::inherit:
        return true;
      case kind::null:
        error = open_null();
        if (error >= 0) own.reset(error);
        sources[number] = own.get();
        break;
      case kind::pipe:
        error =
            number == 0 ? detail::make_pipe(own, parents_end) : detail::make_pipe(parents_end, own);
        // Nobody shares the description of this end
        if (error >= 0) error = kernel::fcntl(parents_end.get(), F_SETFL, O_NONBLOCK);
        sources[number] = own.get();
        break;
      case kind::descriptor:
        sources[number] = stream.fd_;
        error = kernel::fcntl(stream.fd_, F_GETFD, 0);
        break;
      case kind::output:
        if (number != 2)
          throw std::invalid_argument("coir::process: same_as_output() is for the error stream");
        sources[number] = sources[1] >= 0 ? sources[1] : 1;
        break;
    }
    if (error >= 0) error = move_up(number);
    return error >= 0 || fail(error, "run " + program + ": its stream " + std::to_string(number));
  }

  int move_up(int number) noexcept {
    const int source = sources[number];
    if (source >= stream_count || source == number) return 0;
    const int moved = kernel::fcntl(source, F_DUPFD_CLOEXEC, stream_count);
    if (moved < 0) return moved;
    kept[number].reset(moved);
    sources[number] = moved;
    return 0;
  }

  /// Everything but the streams and how.descriptors is closed in the child.
  bool keep_descriptors() {
    std::vector<int> wanted = how.descriptors;
    std::sort(wanted.begin(), wanted.end());
    int next = stream_count;
    for (const int fd : wanted) {
      if (fd < next) continue;  // a stream, or named twice
      if (const int error = kernel::fcntl(fd, F_GETFD, 0); error < 0)
        return fail(error, "run " + program + ": its descriptor " + std::to_string(fd));
      for (; next < fd; ++next) actions.close(next);
      actions.copy(fd, fd);  // takes FD_CLOEXEC away in the child
      next = fd + 1;
    }
    actions.close_from(next);
    return true;
  }

  /// On an offload thread.
  void spawn() {
    const kernel::blocking_section others_run;
    int error = 0;
    program = find_program(program, how, error);
    if (error == 0) {
      error =
          ::posix_spawn(&child.pid, program.c_str(), actions.get(), attributes.get(),
                        argument_list.get(), how.environment ? environment_list.get() : environ);
    }
    if (error != 0) {
      fail(-error, explain(program, how, error));
      return;
    }
    place_of_pidfd.reset();
    child.pidfd = owned_fd(open_pidfd(child.pid));
    if (child.pidfd.get() < 0) give_up(child.pidfd.get());
  }

  /// Another thread has taken the descriptor that was meant for the child: nobody could wait for
  /// it.
  void give_up(int refused) {
    kernel::call(SYS_kill, child.pid, SIGKILL);
    while (kernel::call(SYS_wait4, child.pid, nullptr, 0, nullptr) == -EINTR) {
    }
    fail(refused, "run " + program);
  }
};

started_child start_child(const std::vector<std::string>& arguments, const process_options& how,
                          start_failure& failure) {
  check_texts(arguments, how);
  child_setup setup(arguments, how);
  if (setup.prepare()) {
    std::exception_ptr thrown;
    const std::int64_t error = io::offload_or_error([&]() -> std::int64_t {
      try {
        setup.spawn();
      } catch (...) {
        thrown = std::current_exception();
      }
      return 0;
    });
    if (thrown) std::rethrow_exception(thrown);
    if (error < 0)
      setup.fail(static_cast<int>(error), "run " + setup.program + " (raise ulimit -u)");
  }
  failure = std::move(setup.failure);
  return std::move(setup.child);
}

}  // namespace coir
