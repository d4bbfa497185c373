// Sockets: the call itself is tried first, with MSG_DONTWAIT so that the descriptor's mode does not
// matter.
#include "runtime/io/await.hpp"
#include "runtime/io/parts.hpp"
#include "runtime/kernel/calls.hpp"

#include <utility>

namespace coir::io {
namespace {

using detail::operation;
using detail::operation_kind;

/// `call(fd, flags)` with MSG_DONTWAIT, cooperatively unless the caller's own flags say not to
/// wait.
template <class Call>
ssize_t transfer(short events, int flags, patience& left, Call call) noexcept {
  if (flags & MSG_DONTWAIT) {
    const ssize_t result = call(left.fd(), flags);
    if (result >= 0) count_call();
    return result;
  }
  return cooperate(events, left, [&](int fd) { return call(fd, flags | MSG_DONTWAIT); });
}

/// transfer() of up to `size_of()` bytes to the caller; only a call that succeeded tells that the
/// caller's sizes can be read. A plain read, which takes what there is, need not
/// try a stream that is known to be dry, and may leave one so.
template <class Size, class Call>
ssize_t receive(int flags, bool is_plain, Size size_of, patience& left, Call call) noexcept {
  if (is_plain && left.is_dry()) {
    if (const int error = await_ready(POLLIN, left); error < 0) return error;
  }
  const ssize_t got = transfer(POLLIN, flags, left, call);
  if (is_plain && got > 0 && static_cast<std::size_t>(got) < size_of()) left.note_dry();
  return got;
}

int socket_option(int fd, int option) noexcept {
  int value = 0;
  socklen_t size = sizeof value;
  const int error = kernel::getsockopt(fd, SOL_SOCKET, option, &value, &size);
  return error < 0 ? error : value;
}

bool is_nonblocking(int fd) noexcept { return kernel::fcntl(fd, F_GETFL, 0) & O_NONBLOCK; }

/// `message` with other parts, and without the control data, which goes with the first bytes.
msghdr continuation_of(const msghdr& message, const iovec* parts, std::size_t count) noexcept {
  msghdr rest = message;
  rest.msg_iov = const_cast<iovec*>(parts);
  rest.msg_iovlen = count;
  rest.msg_control = nullptr;
  rest.msg_controllen = 0;
  return rest;
}

/// recvmsg with MSG_WAITALL: MSG_DONTWAIT would end it early, so that the rest is asked for until
/// the end or an error. Only streams know the flag.
ssize_t receive_all(msghdr* message, int flags, patience& left) noexcept {
  bool is_first = true;
  const msghdr asked = *message;
  return transfer_all(asked.msg_iov, asked.msg_iovlen, [&](const iovec* parts, std::size_t count) {
    msghdr rest = continuation_of(asked, parts, count);
    if (!is_first && socket_option(left.fd(), SO_TYPE) != SOCK_STREAM) return ssize_t{0};
    msghdr* const current = std::exchange(is_first, false) ? message : &rest;
    return transfer(POLLIN, flags, left,
                    [&](int fd, int f) { return kernel::recvmsg(fd, current, f); });
  });
}

/// Without a ring: the look right before the call keeps another fiber's accept from making this one
/// block. Against other threads and processes that accept from the same blocking descriptor there
/// is no such protection.
int accept_when_ready(sockaddr* peer, socklen_t* peer_size, int flags, patience& left) noexcept {
  return static_cast<int>(cooperate(POLLIN, left, [&](int fd) -> ssize_t {
    pollfd look{fd, POLLIN, 0};
    if (kernel::poll_now(&look, 1) == 0) return -EAGAIN;
    return kernel::accept4(fd, peer, peer_size, flags);
  }));
}

}  // namespace

ssize_t recv(int fd, void* data, std::size_t size, int flags, wait_mode mode) noexcept {
  return recvfrom(fd, data, size, flags, nullptr, nullptr, mode);
}

ssize_t recvfrom(int fd, void* data, std::size_t size, int flags, sockaddr* from,
                 socklen_t* from_size, wait_mode mode) noexcept {
  if (flags & MSG_WAITALL) {
    iovec part{data, size};
    msghdr message{};
    message.msg_name = from;
    message.msg_namelen = from_size ? *from_size : 0;
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    const ssize_t got = recvmsg(fd, &message, flags, mode);
    if (got >= 0 && from_size) *from_size = message.msg_namelen;
    return got;
  }
  patience left(fd, mode);
  auto size_of = [size] { return size; };
  return receive(flags, flags == 0, size_of, left, [&](int at, int f) {
    return kernel::recvfrom(at, data, size, f, from, from_size);
  });
}

ssize_t recvmsg(int fd, msghdr* message, int flags, wait_mode mode) noexcept {
  patience left(fd, mode);
  // MSG_ERRQUEUE never blocks, and is announced by POLLERR alone.
  if (flags & MSG_ERRQUEUE) flags |= MSG_DONTWAIT;
  if ((flags & (MSG_WAITALL | MSG_PEEK | MSG_DONTWAIT)) == MSG_WAITALL) {
    return receive_all(message, flags & ~MSG_WAITALL, left);
  }
  const bool is_plain_read = flags == 0 && message->msg_controllen == 0;
  auto size_of = [message] { return total_size(message->msg_iov, message->msg_iovlen); };
  return receive(flags, is_plain_read, size_of, left,
                 [&](int at, int f) { return kernel::recvmsg(at, message, f); });
}

ssize_t send(int fd, const void* data, std::size_t size, int flags, wait_mode mode) noexcept {
  return sendto(fd, data, size, flags, nullptr, 0, mode);
}

/// A blocking send(2) on a stream returns when all is sent; so do this and sendmsg.
ssize_t sendto(int fd, const void* data, std::size_t size, int flags, const sockaddr* to,
               socklen_t to_size, wait_mode mode) noexcept {
  patience left(fd, mode);
  std::size_t done = 0;
  do {
    const auto* const rest = static_cast<const std::byte*>(data) + done;
    const ssize_t sent = transfer(POLLOUT, flags, left, [&](int at, int f) {
      return kernel::sendto(at, rest, size - done, f, to, to_size);
    });
    if (sent < 0) return done > 0 ? static_cast<ssize_t>(done) : sent;
    done += static_cast<std::size_t>(sent);
  } while (done < size && !(flags & MSG_DONTWAIT));
  return static_cast<ssize_t>(done);
}

ssize_t sendmsg(int fd, const msghdr* message, int flags, wait_mode mode) noexcept {
  patience left(fd, mode);
  bool is_first = true;
  return transfer_all(
      message->msg_iov, message->msg_iovlen, [&](const iovec* parts, std::size_t count) {
        const msghdr rest = continuation_of(*message, parts, count);
        const msghdr* const current = std::exchange(is_first, false) ? message : &rest;
        return transfer(POLLOUT, flags, left,
                        [&](int at, int f) { return kernel::sendmsg(at, current, f); });
      });
}

int accept(int fd, sockaddr* peer, socklen_t* peer_size, int flags, wait_mode mode) noexcept {
  if (is_nonblocking(fd)) {
    return static_cast<int>(cooperate(
        fd, POLLIN, mode, [&](int at) { return kernel::accept4(at, peer, peer_size, flags); }));
  }
  const int is_listening = socket_option(fd, SO_ACCEPTCONN);
  if (is_listening < 0) return is_listening;
  if (!is_listening) return kernel::accept4(fd, peer, peer_size, flags);  // fails without waiting
  patience left(fd, mode);
  if (const int refused = left.before_wait(POLLIN); refused < 0) return refused;
  if (left.threads()) return accept_when_ready(peer, peer_size, flags, left);
  operation op;
  op.kind = operation_kind::accept;
  op.fd = fd;
  op.buffer = peer;
  op.peer_size = peer_size;
  op.flags = static_cast<std::uint32_t>(flags);
  std::int64_t result = await(op, left.until());
  if (result == -EOPNOTSUPP) {
    result = accept_when_ready(peer, peer_size, flags, left);
  }
  return static_cast<int>(result == -ETIMEDOUT ? left.timeout_error() : result);
}

namespace {

/// Waits for a connection that is under way and says how it ended.
int finish_connect(patience& left) noexcept {
  const int ready = await_ready(POLLOUT, left);
  if (ready < 0) return ready == -EAGAIN ? -EINPROGRESS : ready;
  const int error = socket_option(left.fd(), SO_ERROR);
  return error > 0 ? -error : error;
}

/// Makes the descriptor non-blocking for the length of one system call that does not wait. The file
/// description of a socket that is being connected is seldom shared; there is no per-call flag for
/// connect.
int begin_connect(int fd, const sockaddr* peer, socklen_t peer_size) noexcept {
  const int flags = kernel::fcntl(fd, F_GETFL, 0);
  if (flags < 0) return flags;
  kernel::fcntl(fd, F_SETFL, flags | O_NONBLOCK);
  const int result = kernel::connect(fd, peer, peer_size);
  kernel::fcntl(fd, F_SETFL, flags);
  return result;
}

/// A unix stream socket whose peer's backlog is full gives no notice: look again now and then.
int connect_to_full_backlog(int fd, const sockaddr* peer, socklen_t peer_size,
                            patience& left) noexcept {
  if (const int refused = left.before_wait(POLLOUT); refused < 0) return refused;
  for (;;) {
    if (const int error = pause(left); error < 0) return error;
    const int result = begin_connect(fd, peer, peer_size);
    if (result != -EAGAIN) return result;
  }
}

}  // namespace

int connect(int fd, const sockaddr* peer, socklen_t peer_size, wait_mode mode) noexcept {
  patience left(fd, mode);
  if (mode.posix && is_nonblocking(fd)) return kernel::connect(fd, peer, peer_size);
  int result = begin_connect(fd, peer, peer_size);
  if (result == -EAGAIN && peer->sa_family == AF_UNIX)
    result = connect_to_full_backlog(fd, peer, peer_size, left);
  return result == -EINPROGRESS ? finish_connect(left) : result;
}

}  // namespace coir::io
