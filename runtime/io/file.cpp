// read, write and their kin on any descriptor.
//
//   socket         recvmsg and sendmsg with MSG_DONTWAIT, then readiness
//   pipe and such  preadv2 and pwritev2 with RWF_NOWAIT, then readiness; where a driver does not
//                  know that flag (terminals, writing to an eventfd) a look with poll, then the
//                  plain call
//   regular file   reads: what is cached at once with RWF_NOWAIT, the rest by the ring or an
//                  offload thread; writes: small ones go to the page cache at once, large or
//                  direct ones like reads
#include "runtime/io/await.hpp"
#include "runtime/io/blocking.hpp"
#include "runtime/io/offload.hpp"
#include "runtime/io/parts.hpp"
#include "runtime/kernel/calls.hpp"

#include <linux/io_uring.h>
#include <sys/stat.h>

namespace coir::io {
namespace {

using detail::operation;
using detail::operation_kind;

constexpr off_t at_position = -1;  // the descriptor's own position
// A copy of some 10 us; more may wait for write-back
constexpr std::size_t cached_write_max = 64 * 1024;
// What a terminal takes once it says it is writable
constexpr std::size_t terminal_write_max = 2 * 1024;

enum class descriptor_kind { pollable, terminal, file };

descriptor_kind kind_of(int fd) noexcept {
  struct stat status;
  if (kernel::call(SYS_fstat, fd, &status) < 0)
    return descriptor_kind::pollable;  // the call itself will say why
  if (S_ISREG(status.st_mode) || S_ISBLK(status.st_mode) || S_ISDIR(status.st_mode))
    return descriptor_kind::file;
  return S_ISCHR(status.st_mode) ? descriptor_kind::terminal : descriptor_kind::pollable;
}

bool is_direct_or_synchronous(int fd) noexcept {
  return kernel::fcntl(fd, F_GETFL, 0) & (O_DIRECT | O_SYNC | O_DSYNC);
}

msghdr message_of(const iovec* parts, std::size_t count) noexcept {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(parts);
  message.msg_iovlen = count;
  return message;
}

std::int64_t perform_parts(operation_kind kind, int fd, const iovec* parts, std::size_t count,
                           off_t offset, wait_mode mode) noexcept {
  operation op;
  op.kind = kind;
  op.fd = fd;
  op.buffer = const_cast<iovec*>(parts);
  op.size = count;
  op.offset = offset;
  return perform(op, mode.until);
}

/// Reads what is not cached behind the `cached` bytes that are.
ssize_t read_uncached(int fd, const iovec* parts, std::size_t count, off_t offset,
                      std::size_t cached, wait_mode mode) noexcept {
  part_cursor rest(parts, count);
  if (!rest.advance(cached)) return static_cast<ssize_t>(cached);
  const off_t from = offset == at_position ? at_position : offset + static_cast<off_t>(cached);
  const std::int64_t more =
      perform_parts(operation_kind::readv, fd, rest.parts(), rest.count(), from, mode);
  if (more < 0) return cached > 0 ? static_cast<ssize_t>(cached) : more;
  return static_cast<ssize_t>(cached) + more;
}

ssize_t read_file(int fd, const iovec* parts, int count, off_t offset, wait_mode mode) noexcept {
  const auto parts_count = static_cast<std::size_t>(count);
  ssize_t cached = -EAGAIN;
  if (!is_direct_or_synchronous(fd)) cached = kernel::preadv2(fd, parts, count, offset, RWF_NOWAIT);
  if (cached < 0 && cached != -EAGAIN && cached != -EOPNOTSUPP) return cached;
  if (cached < 0) cached = 0;
  const auto got = static_cast<std::size_t>(cached);
  if (got > 0 && got == total_size(parts, parts_count)) {
    count_call();
    return cached;
  }
  return read_uncached(fd, parts, parts_count, offset, got, mode);
}

ssize_t write_file(int fd, const iovec* parts, int count, off_t offset, wait_mode mode) noexcept {
  const auto parts_count = static_cast<std::size_t>(count);
  if (total_size(parts, parts_count) <= cached_write_max && !is_direct_or_synchronous(fd)) {
    const ssize_t written = offset == at_position ? kernel::writev(fd, parts, count)
                                                  : kernel::pwritev2(fd, parts, count, offset, 0);
    count_call();
    return written;
  }
  return perform_parts(operation_kind::writev, fd, parts, parts_count, offset, mode);
}

/// True when the plain call on `fd` would not block now.
bool is_ready(int fd, short events) noexcept {
  pollfd look{fd, events, 0};
  return kernel::poll_now(&look, 1) != 0;
}

ssize_t read_pollable(int fd, const iovec* parts, int count, wait_mode mode) noexcept {
  return cooperate(fd, POLLIN, mode, [&](int at) -> ssize_t {
    const ssize_t got = kernel::preadv2(at, parts, count, at_position, RWF_NOWAIT);
    if (got != -EOPNOTSUPP) return got;
    return is_ready(at, POLLIN) ? kernel::readv(at, parts, count) : -EAGAIN;
  });
}

ssize_t write_pollable(int fd, const iovec* parts, std::size_t count, wait_mode mode) noexcept {
  patience left(fd, mode);
  return transfer_all(parts, count, [&](const iovec* rest, std::size_t rest_count) {
    const int n = static_cast<int>(rest_count);
    return cooperate(POLLOUT, left, [&](int at) -> ssize_t {
      const ssize_t written = kernel::pwritev2(at, rest, n, at_position, RWF_NOWAIT);
      if (written != -EOPNOTSUPP) return written;
      return is_ready(at, POLLOUT) ? kernel::writev(at, rest, n) : -EAGAIN;
    });
  });
}

ssize_t write_terminal(int fd, const iovec* parts, std::size_t count, wait_mode mode) noexcept {
  if (total_size(parts, count) <= terminal_write_max) return write_pollable(fd, parts, count, mode);
  return perform_parts(operation_kind::writev, fd, parts, count, at_position, mode);
}

int synchronise(int fd, std::uint32_t flags, wait_mode mode) noexcept {
  operation op;
  op.kind = operation_kind::fsync;
  op.fd = fd;
  op.flags = flags;
  return static_cast<int>(perform(op, mode.until));
}

}  // namespace

ssize_t readv(int fd, const iovec* parts, int count, wait_mode mode) noexcept {
  if (count <= 0 || total_size(parts, static_cast<std::size_t>(count)) == 0) {
    return kernel::readv(fd, parts, count);  // waits for nothing
  }
  msghdr message = message_of(parts, static_cast<std::size_t>(count));
  const ssize_t got = recvmsg(fd, &message, 0, mode);
  if (got != -ENOTSOCK) return got;
  return kind_of(fd) == descriptor_kind::file ? read_file(fd, parts, count, at_position, mode)
                                              : read_pollable(fd, parts, count, mode);
}

ssize_t writev(int fd, const iovec* parts, int count, wait_mode mode) noexcept {
  const auto parts_count = static_cast<std::size_t>(count);
  if (count <= 0 || total_size(parts, parts_count) == 0) return kernel::writev(fd, parts, count);
  msghdr message = message_of(parts, parts_count);
  const ssize_t sent = sendmsg(fd, &message, 0, mode);
  if (sent != -ENOTSOCK) return sent;
  switch (kind_of(fd)) {
    case descriptor_kind::file:
      return write_file(fd, parts, count, at_position, mode);
    case descriptor_kind::terminal:
      return write_terminal(fd, parts, parts_count, mode);
    case descriptor_kind::pollable:
      return write_pollable(fd, parts, parts_count, mode);
  }
  __builtin_unreachable();
}

ssize_t read(int fd, void* data, std::size_t size, wait_mode mode) noexcept {
  const iovec part{data, size};
  return readv(fd, &part, 1, mode);
}

ssize_t write(int fd, const void* data, std::size_t size, wait_mode mode) noexcept {
  const iovec part{const_cast<void*>(data), size};
  return writev(fd, &part, 1, mode);
}

ssize_t pread(int fd, void* data, std::size_t size, off_t offset, wait_mode mode) noexcept {
  if (offset < 0) return -EINVAL;
  const iovec part{data, size};
  return read_file(fd, &part, 1, offset, mode);
}

ssize_t pwrite(int fd, const void* data, std::size_t size, off_t offset, wait_mode mode) noexcept {
  if (offset < 0) return -EINVAL;
  const iovec part{const_cast<void*>(data), size};
  return write_file(fd, &part, 1, offset, mode);
}

int fsync(int fd, wait_mode mode) noexcept { return synchronise(fd, 0, mode); }

int fdatasync(int fd, wait_mode mode) noexcept {
  return synchronise(fd, IORING_FSYNC_DATASYNC, mode);
}

}  // namespace coir::io
