/// Listening sockets: what tcp_listener and unix_listener have in common.
#pragma once

#include <coir/export.hpp>
#include <coir/net/address.hpp>
#include <coir/net/error.hpp>
#include <coir/net/expiry.hpp>

namespace coir::net {

/// A socket that accepts connections. Owns its descriptor, which is non-blocking and closed on
/// exec. Movable; an object that was moved from, or made without arguments, is empty, and its calls
/// fail with std::errc::bad_file_descriptor. Several fibers may accept at a time; all must belong
/// to one worker. close() may come while others wait; moving, assigning and destroying may not.
class COIR_API listener : private expiry {
 public:
  /// How long the queue of connections that nobody has accepted yet may be, unless the options say
  /// otherwise. The kernel cuts it to net.core.somaxconn.
  static constexpr int default_backlog = SOMAXCONN;

  /// The deadline of accept; see expiry.
  using expiry::expires_after;
  using expiry::expires_at;
  using expiry::expires_never;

  /// Closes the descriptor; never parks. Fibers that wait in accept wake with
  /// std::errc::bad_file_descriptor, and connections in the queue are reset. Closing an empty or
  /// closed listener does nothing. The destructor does the same and drops the error.
  void close();
  void close(std::error_code& ec) noexcept;
  /// False for an empty or closed listener. Never parks.
  bool is_open() const noexcept { return fd_ >= 0; }

  /// The address it listens on, with the port that the kernel chose for port 0. Never parks.
  address local_address() const;
  address local_address(std::error_code& ec) const noexcept;
  /// The descriptor, for getsockopt and the like; -1 when closed. The listener still owns it. Never
  /// parks.
  int native_handle() const noexcept { return fd_; }
  /// Gives the descriptor up: the listener is empty and the caller owns what is returned (-1 when
  /// there was none). A unix path stays. No fiber may wait in the listener. Never parks.
  int release() noexcept;

 protected:
  listener() noexcept = default;
  explicit listener(int fd) noexcept : fd_(fd) {}
  listener(listener&& other) noexcept;
  listener& operator=(listener&& other) noexcept;
  ~listener();

  /// Parks until a connection is there; returns its descriptor, or -1 with `ec` set.
  int accept_socket(address* peer, std::error_code& ec);
  /// Makes `fd` non-blocking, if it is a stream socket of a family that `accepts_family` knows.
  static void prepare_adoption(int fd, bool (*accepts_family)(int), std::error_code& ec) noexcept;
  /// Throws `ec` with "`what` LOCAL ADDRESS".
  [[noreturn]] void fail(const char* what, const std::error_code& ec) const;

 private:
  int fd_ = -1;
};

}  // namespace coir::net
