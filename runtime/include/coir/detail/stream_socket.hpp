/// The descriptor inside net's stream types.
#pragma once

#include <coir/detail/clock.hpp>
#include <coir/export.hpp>

#include <cstddef>

#include <sys/types.h>

struct msghdr;

namespace coir::io {

/// A stream socket with a persistent readiness registration on its worker: one system call per
/// connection, not per wait. It remembers when the socket is known to be dry, and then parks
/// without a doomed system call. Owned by net's stream types; the descriptor must be non-blocking
/// and stay open for the life of this object (close() ends both). One fiber may read while another
/// writes; several readers are served one after another.
class COIR_API stream_socket {
 public:
  stream_socket() noexcept = default;
  /// Takes over `fd`; registers it at the first wait. Never parks.
  explicit stream_socket(int fd) noexcept;
  stream_socket(stream_socket&& other) noexcept;
  stream_socket& operator=(stream_socket&& other) noexcept;
  /// close() without its result.
  ~stream_socket();

  /// The descriptor, -1 when closed or moved from.
  int fd() const noexcept;
  /// As io::recv.
  ssize_t recv(void* data, std::size_t size, int flags, detail::deadline until) noexcept;
  /// As io::send, but returns after the first bytes that went out.
  ssize_t send(const void* data, std::size_t size, int flags, detail::deadline until) noexcept;
  /// As io::sendmsg, but returns after the first bytes that went out.
  ssize_t sendmsg(const msghdr* message, int flags, detail::deadline until) noexcept;

  // For callers that must not park where they transfer, and wait elsewhere: try, wait, try again.
  /// recv and send that never park: -EAGAIN when they would, or when the socket is known to be dry
  /// (or full) since the last time; then wait before the next try. On a worker only.
  ssize_t try_recv(void* data, std::size_t size, int flags) noexcept;
  ssize_t try_send(const void* data, std::size_t size, int flags) noexcept;
  /// Parks until another try of try_recv (or try_send) may succeed; 0, -ETIMEDOUT, -ECANCELED or
  /// -EBADF. One more try is due after -ETIMEDOUT: what has come meanwhile counts.
  int wait_readable(detail::deadline until) noexcept;
  int wait_writable(detail::deadline until) noexcept;
  /// Counts a transfer that did not wait, which is what the calls that park do themselves; other
  /// fibers run when the caller has had its share.
  static void count_call() noexcept;

  /// Wakes whoever waits in it with -EBADF and closes the descriptor; 0 or -errno. Never parks.
  int close() noexcept;
  /// Gives the descriptor up without closing it; -1 when there is none. Must have no waiters.
  int release() noexcept;

 private:
  struct registration;  // in runtime/io/stream_socket.cpp
  registration* state_ = nullptr;
};

}  // namespace coir::io
