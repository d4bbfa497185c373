// Sockets. Not hooked, because they neither wait nor leave anything behind that coir would have to
// know: socket, socketpair, bind, listen, shutdown, setsockopt.
#include "hooks/chk.hpp"
#include "hooks/hook.hpp"
#include "hooks/time_limit.hpp"
#include "runtime/io/io.hpp"

#include <algorithm>

using namespace coir;
using namespace coir::hooks;

namespace {

constexpr unsigned messages_max = 1024;  // UIO_MAXIOV: the kernel takes no more in one call

/// Receives up to `count` messages, as the kernel does: the time limit is looked at after each
/// message only, and an error after the first message ends the call early, with success.
int receive_many(int fd, mmsghdr* messages, unsigned count, int flags,
                 const timespec* timeout) noexcept {
  const detail::deadline until = deadline_in(timeout);
  const bool wait_for_one = flags & MSG_WAITFORONE;
  flags &= ~MSG_WAITFORONE;
  unsigned received = 0;
  while (received < std::min(count, messages_max)) {
    const ssize_t size = io::recvmsg(fd, &messages[received].msg_hdr, flags, io::posix_manners);
    if (size < 0) return received > 0 ? static_cast<int>(received) : static_cast<int>(size);
    messages[received++].msg_len = static_cast<unsigned>(size);
    if (wait_for_one) flags |= MSG_DONTWAIT;
    if (has_passed(until)) break;
  }
  return static_cast<int>(received);
}

int send_many(int fd, mmsghdr* messages, unsigned count, int flags) noexcept {
  unsigned sent = 0;
  while (sent < std::min(count, messages_max)) {
    const ssize_t size = io::sendmsg(fd, &messages[sent].msg_hdr, flags, io::posix_manners);
    if (size < 0) return sent > 0 ? static_cast<int>(sent) : static_cast<int>(size);
    messages[sent++].msg_len = static_cast<unsigned>(size);
  }
  return static_cast<int>(sent);
}

/// finish() for a descriptor that has just come into being.
int finish_new(int fd) {
  io::thread_scheduler* const threads = io::registered_threads();
  if (fd >= 0 && threads) threads->forget_notes(fd);
  return finish(fd);
}

}  // namespace

/// hook: sockets: readiness; what has none, by the ring or after a poll
COIR_HOOK int accept(int fd, sockaddr* peer, socklen_t* peer_size) {
  if (!on_fiber_or_cancelled()) return real::accept(fd, peer, peer_size);
  return finish_new(io::accept(fd, peer, peer_size, 0, io::posix_manners));
}

/// hook: sockets: readiness; what has none, by the ring or after a poll
COIR_HOOK int accept4(int fd, sockaddr* peer, socklen_t* peer_size, int flags) {
  if (!on_fiber_or_cancelled()) return real::accept4(fd, peer, peer_size, flags);
  return finish_new(io::accept(fd, peer, peer_size, flags, io::posix_manners));
}

/// hook: sockets: readiness; what has none, by the ring or after a poll
COIR_HOOK int connect(int fd, const sockaddr* peer, socklen_t peer_size) {
  if (!on_fiber_or_cancelled()) return real::connect(fd, peer, peer_size);
  return finish(io::connect(fd, peer, peer_size, io::posix_manners));
}
COIR_HOOK int __connect(int, const sockaddr*, socklen_t) COIR_HOOK_ALIAS(connect);

/// hook: sockets: readiness, then the call
COIR_HOOK ssize_t recv(int fd, void* data, size_t size, int flags) {
  if (!on_fiber_or_cancelled()) return real::recv(fd, data, size, flags);
  return finish(io::recv(fd, data, size, flags, io::posix_manners));
}

/// hook: sockets: readiness, then the call
COIR_HOOK ssize_t __recv_chk(int fd, void* data, size_t size, size_t capacity, int flags) {
  check_capacity(size, capacity);
  return recv(fd, data, size, flags);
}

/// hook: sockets: readiness, then the call
COIR_HOOK ssize_t recvfrom(int fd, void* data, size_t size, int flags, sockaddr* from,
                           socklen_t* from_size) {
  if (!on_fiber_or_cancelled()) return real::recvfrom(fd, data, size, flags, from, from_size);
  return finish(io::recvfrom(fd, data, size, flags, from, from_size, io::posix_manners));
}

/// hook: sockets: readiness, then the call
COIR_HOOK ssize_t __recvfrom_chk(int fd, void* data, size_t size, size_t capacity, int flags,
                                 sockaddr* from, socklen_t* from_size) {
  check_capacity(size, capacity);
  return recvfrom(fd, data, size, flags, from, from_size);
}

/// hook: sockets: readiness, then the call
COIR_HOOK ssize_t recvmsg(int fd, msghdr* message, int flags) {
  if (!on_fiber_or_cancelled()) return real::recvmsg(fd, message, flags);
  return finish(io::recvmsg(fd, message, flags, io::posix_manners));
}

/// hook: sockets: message by message; its time limit is looked at after each message
COIR_HOOK int recvmmsg(int fd, mmsghdr* messages, unsigned count, int flags, timespec* timeout) {
  if (!on_fiber_or_cancelled()) return real::recvmmsg(fd, messages, count, flags, timeout);
  if (timeout && !is_valid(*timeout)) return finish(-EINVAL);
  return finish(receive_many(fd, messages, count, flags, timeout));
}

/// hook: sockets: readiness, then the call; a blocking `send` sends everything
COIR_HOOK ssize_t send(int fd, const void* data, size_t size, int flags) {
  if (!on_fiber_or_cancelled()) return real::send(fd, data, size, flags);
  return finish(io::send(fd, data, size, flags, io::posix_manners));
}
COIR_HOOK ssize_t __send(int, const void*, size_t, int) COIR_HOOK_ALIAS(send);

/// hook: sockets: readiness, then the call; a blocking `send` sends everything
COIR_HOOK ssize_t sendto(int fd, const void* data, size_t size, int flags, const sockaddr* to,
                         socklen_t to_size) {
  if (!on_fiber_or_cancelled()) return real::sendto(fd, data, size, flags, to, to_size);
  return finish(io::sendto(fd, data, size, flags, to, to_size, io::posix_manners));
}

/// hook: sockets: readiness, then the call; a blocking `send` sends everything
COIR_HOOK ssize_t sendmsg(int fd, const msghdr* message, int flags) {
  if (!on_fiber_or_cancelled()) return real::sendmsg(fd, message, flags);
  return finish(io::sendmsg(fd, message, flags, io::posix_manners));
}

/// hook: sockets: message by message
COIR_HOOK int sendmmsg(int fd, mmsghdr* messages, unsigned count, int flags) {
  if (!on_fiber_or_cancelled()) return real::sendmmsg(fd, messages, count, flags);
  return finish(send_many(fd, messages, count, flags));
}
