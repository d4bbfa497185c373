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
  /// Wakes whoever waits in it with -EBADF and closes the descriptor; 0 or -errno. Never parks.
  int close() noexcept;
  /// Gives the descriptor up without closing it; -1 when there is none. Must have no waiters.
  int release() noexcept;

 private:
  struct registration;  // in runtime/io/stream_socket.cpp
  registration* state_ = nullptr;
};

}  // namespace coir::io
