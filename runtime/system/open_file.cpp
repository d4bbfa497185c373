// The open of a FIFO waits for its other end. An offload thread that waited so would be lost to
// everybody else until then, and could not be told of a kill; a few of them would stop all files.
// So a FIFO is opened without waiting, and the fiber looks for the other end itself:
//
//   to read   that open succeeds, and lets writers' opens succeed. A writer shows by data, by a
//             hang-up when it has gone again, or, when it is just there, by tee(2): of an empty
//             pipe this says 0 without a writer and EAGAIN with one.
//   to write  that open fails with ENXIO until there is a reader, also one that still waits in its
//             own open: tried again now and then.
//
// Rejected: a thread in open(2), released by opening the other end for a moment. It would release
// other programs' opens of the FIFO, too.
#include "runtime/system/open_file.hpp"

#include "runtime/io/io.hpp"
#include "runtime/io/offload.hpp"
#include "runtime/kernel/calls.hpp"
#include "runtime/kernel/thread_host.hpp"
#include "runtime/system/edge.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdint>

#include <fcntl.h>
#include <sys/stat.h>

namespace coir::detail {
namespace {

constexpr std::int64_t first_pause_ns = 1'000'000;
constexpr std::int64_t longest_pause_ns = 20'000'000;
constexpr int no_reader_yet = -ENXIO;

int open_now(const char* path, int flags, unsigned permissions) noexcept {
  return static_cast<int>(kernel::call(SYS_openat, AT_FDCWD, path, flags, permissions));
}

bool is_fifo(const char* path) noexcept {
  struct stat status {};
  return kernel::call(SYS_newfstatat, AT_FDCWD, path, &status, 0) == 0 && S_ISFIFO(status.st_mode);
}

/// On an offload thread: opens without waiting for anybody but the file system, and for the holder
/// of a lease.
opened open_without_partner(const char* path, int flags, unsigned permissions) noexcept {
  const kernel::blocking_section others_run;
  int fd = open_now(path, flags | O_NONBLOCK, permissions);
  if (fd == -EWOULDBLOCK) fd = open_now(path, flags, permissions);  // somebody has a lease
  if (fd == no_reader_yet && !is_fifo(path)) return {-ENODEV, 0};
  if (fd < 0) return {fd, 0};
  struct stat status {};
  kernel::call(SYS_fstat, fd, &status);
  return {fd, status.st_mode};
}

opened open_offloaded(const char* path, int flags, unsigned permissions) noexcept {
  opened made{-1, 0};
  const std::int64_t error = io::offload_or_error([&]() -> std::int64_t {
    made = open_without_partner(path, flags, permissions);
    return 0;
  });
  return error < 0 ? opened{static_cast<int>(error), 0} : made;
}

/// The waits of one open: longer and longer.
class pauses {
 public:
  std::int64_t next() noexcept {
    const std::int64_t now = pause_ns_;
    pause_ns_ = std::min(2 * pause_ns_, longest_pause_ns);
    return now_ns() + now;
  }

 private:
  std::int64_t pause_ns_ = first_pause_ns;
};

/// Whether an empty FIFO has a writer; 0, 1 or -errno.
int has_writer(int fd) noexcept {
  owned_fd reader;
  owned_fd writer;
  if (const int error = make_pipe(reader, writer); error < 0) return error;
  constexpr unsigned not_blocking = 2;  // SPLICE_F_NONBLOCK
  return kernel::call(SYS_tee, fd, writer.get(), 1, not_blocking) != 0;
}

/// 0, or -errno of the wait.
int await_writer(int fd) noexcept {
  for (pauses waits;;) {
    pollfd look{fd, POLLIN, 0};
    if (kernel::poll_now(&look, 1) != 0) return 0;
    if (const int found = has_writer(fd); found != 0) return std::min(found, 0);
    const int ready = io::wait_ready(fd, POLLIN, waits.next());
    if (ready != -ETIMEDOUT) return std::min(ready, 0);
  }
}

}  // namespace

opened open_file(const char* path, int flags, unsigned permissions) noexcept {
  const bool is_wanted_nonblocking = flags & O_NONBLOCK;
  const int access = flags & O_ACCMODE;
  flags |= O_CLOEXEC | O_NOCTTY;
  opened made = open_offloaded(path, flags, permissions);
  if (is_wanted_nonblocking) return made;
  for (pauses waits; made.fd == no_reader_yet && access == O_WRONLY;) {
    if (const int error = io::sleep_until(waits.next()); error < 0) return {error, 0};
    made = open_offloaded(path, flags, permissions);
  }
  if (made.fd < 0) return made;
  owned_fd fd(made.fd);
  if (S_ISFIFO(made.mode) && access == O_RDONLY && !(flags & O_PATH)) {
    if (const int error = await_writer(fd.get()); error < 0) return {error, 0};
  }
  // This description is nobody else's yet, but may become a child's standard input.
  const int status_flags = kernel::fcntl(fd.get(), F_GETFL, 0);
  if (status_flags >= 0 && status_flags & O_NONBLOCK)
    kernel::fcntl(fd.get(), F_SETFL, status_flags & ~O_NONBLOCK);
  return {fd.release(), made.mode};
}

}  // namespace coir::detail
