// There is no flag by which a write to a pipe would not raise SIGPIPE. So the thread blocks the
// signal for the length of each attempt, in which nobody else runs, and takes back what the attempt
// has raised: a signal for the thread, pending since it is blocked. One that was pending before, or
// that the program has blocked itself, is left as it was.
#include "runtime/system/pipe_write.hpp"

#include "runtime/io/await.hpp"
#include "runtime/io/parts.hpp"
#include "runtime/kernel/calls.hpp"

#include <algorithm>
#include <climits>
#include <cstdint>

#include <signal.h>

namespace coir::detail {
namespace {

using kernel_mask = std::uint64_t;  // what the kernel calls sigset_t

constexpr kernel_mask pipe_signal = kernel_mask{1} << (SIGPIPE - 1);

bool is_pending() noexcept {
  kernel_mask pending = 0;
  kernel::call(SYS_rt_sigpending, &pending, sizeof pending);
  return pending & pipe_signal;
}

/// The attempt itself. Before Linux 6.5, and on a FIFO, the kernel knows no write that does not
/// wait; one of a page does not once the pipe is ready.
ssize_t attempt(int fd, const iovec* parts, std::size_t count) noexcept {
  const int n = static_cast<int>(std::min<std::size_t>(count, IOV_MAX));
  const ssize_t written = kernel::pwritev2(fd, parts, n, -1, RWF_NOWAIT);
  if (written != -EOPNOTSUPP) return written;
  pollfd look{fd, POLLOUT, 0};
  if (kernel::poll_now(&look, 1) == 0) return -EAGAIN;
  const iovec* part = parts;
  while (part->iov_len == 0) ++part;  // the caller has something to write
  return kernel::write(fd, part->iov_base, std::min<std::size_t>(part->iov_len, PIPE_BUF));
}

}  // namespace

ssize_t try_write_pipe(int fd, const iovec* parts, std::size_t count) noexcept {
  kernel_mask before = 0;
  kernel::call(SYS_rt_sigprocmask, SIG_BLOCK, &pipe_signal, &before, sizeof before);
  const bool is_programs_own = before & pipe_signal && is_pending();
  const ssize_t written = attempt(fd, parts, count);
  if (written == -EPIPE && !is_programs_own) {
    constexpr timespec no_time{0, 0};
    kernel::call(SYS_rt_sigtimedwait, &pipe_signal, nullptr, &no_time, sizeof pipe_signal);
  }
  kernel::call(SYS_rt_sigprocmask, SIG_SETMASK, &before, nullptr, sizeof before);
  return written;
}

ssize_t write_pipe(int fd, const iovec* parts, std::size_t count, io::wait_mode mode) noexcept {
  io::patience left(fd, mode);
  return io::transfer_all(parts, count, [&](const iovec* rest, std::size_t rest_count) {
    return io::cooperate(POLLOUT, left,
                         [&](int at) { return try_write_pipe(at, rest, rest_count); });
  });
}

}  // namespace coir::detail
