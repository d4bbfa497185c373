/// Sockets that carry single messages: what udp_socket and unix_datagram have in common.
#pragma once

#include <coir/export.hpp>
#include <coir/net/address.hpp>
#include <coir/net/buffer.hpp>
#include <coir/net/error.hpp>
#include <coir/net/expiry.hpp>

#include <cstddef>

namespace coir::net {

/// What a receive brought.
struct received {
  std::size_t size = 0;       ///< bytes that are in the buffer now; 0 for an empty datagram
  std::size_t full_size = 0;  ///< bytes that the datagram had
  /// True when the buffer was too small: the rest of the datagram is lost.
  bool is_truncated() const noexcept { return full_size > size; }
};

/// A socket that sends and receives datagrams, each whole or not at all. Owns its descriptor, which
/// is non-blocking and closed on exec. Movable; an object that was moved from, or made without
/// arguments, is empty, and its calls fail with std::errc::bad_file_descriptor. Any number of
/// fibers may send and receive at a time; all must belong to one worker. close() may come while
/// others wait; moving, assigning and destroying may not. Receiving keeps to the read deadline of
/// expiry, sending to its write deadline.
class COIR_API datagram_socket : public expiry {
 public:
  /// Sends one datagram to `to`; parks while the socket's send buffer is full. Returns the size of
  /// `from`; an empty buffer is an empty datagram. One that is too long is std::errc::message_size.
  /// Throws fiber_exit when killed.
  std::size_t send_to(const_buffer from, const address& to);
  std::size_t send_to(const_buffer from, const address& to, std::error_code& ec);
  /// Sends one datagram to the peer given to connect().
  std::size_t send(const_buffer from);
  std::size_t send(const_buffer from, std::error_code& ec);

  /// Receives one datagram and tells who sent it; parks until there is one. Throws fiber_exit when
  /// killed.
  received receive_from(mutable_buffer into, address& from);
  received receive_from(mutable_buffer into, address& from, std::error_code& ec);
  /// Receives one datagram; parks until there is one. On a connected socket
  /// std::errc::connection_refused tells that an earlier datagram found nobody. Throws fiber_exit
  /// when killed.
  received receive(mutable_buffer into);
  received receive(mutable_buffer into, std::error_code& ec);

  /// From now on send() goes to `peer` and only its datagrams are received; never parks. May be
  /// called again.
  void connect(const address& peer);
  void connect(const address& peer, std::error_code& ec) noexcept;

  /// Closes the descriptor; never parks. Fibers that wait in this object wake with
  /// std::errc::bad_file_descriptor. Closing an empty or closed socket does nothing. The destructor
  /// does the same and drops the error.
  void close();
  void close(std::error_code& ec) noexcept;
  /// False for an empty or closed socket. Never parks.
  bool is_open() const noexcept { return fd_ >= 0; }

  /// The address it is bound to; never parks.
  address local_address() const;
  address local_address(std::error_code& ec) const noexcept;
  /// The address given to connect(); std::errc::not_connected without. Never parks.
  address peer_address() const;
  address peer_address(std::error_code& ec) const noexcept;
  /// The descriptor, for getsockopt and the like; -1 when closed. The socket still owns it. Never
  /// parks.
  int native_handle() const noexcept { return fd_; }
  /// Gives the descriptor up: the socket is empty and the caller owns what is returned (-1 when
  /// there was none). No fiber may wait in the socket. Never parks.
  int release() noexcept;

 protected:
  datagram_socket() noexcept = default;
  explicit datagram_socket(int fd) noexcept : fd_(fd) {}
  datagram_socket(datagram_socket&& other) noexcept;
  datagram_socket& operator=(datagram_socket&& other) noexcept;
  ~datagram_socket();

  /// Throws `ec` with "`what` LOCAL ADDRESS".
  [[noreturn]] void fail(const char* what, const std::error_code& ec) const;

 private:
  bool begin_call(std::error_code& ec) const;

  int fd_ = -1;
};

}  // namespace coir::net
