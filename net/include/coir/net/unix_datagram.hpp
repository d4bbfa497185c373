/// Datagrams between processes of one machine.
#pragma once

#include <coir/net/datagram_socket.hpp>

#include <utility>

namespace coir::net {

/// A unix datagram socket; datagram_socket describes sending, receiving, closing and deadlines.
/// Nothing is lost or reordered on the way: a sender parks while the receiver's queue is full.
class COIR_API unix_datagram : public datagram_socket {
 public:
  /// Empty.
  unix_datagram() noexcept = default;

  /// A socket that receives what is sent to a path or abstract name. The path stays when the socket
  /// is closed. Never parks.
  static unix_datagram bind(const address& local);
  static unix_datagram bind(const address& local, std::error_code& ec) noexcept;
  /// A socket without an address, that can send. Never parks.
  static unix_datagram unbound();
  static unix_datagram unbound(std::error_code& ec) noexcept;
  /// Two sockets connected to each other: socketpair(2). Never parks.
  static std::pair<unix_datagram, unix_datagram> pair();
  static std::pair<unix_datagram, unix_datagram> pair(std::error_code& ec) noexcept;

  /// Takes over a unix datagram socket; its path stays when it is closed. Makes it non-blocking,
  /// which everybody notices who shares its open file description. On an error the descriptor stays
  /// the caller's. Never parks.
  static unix_datagram adopt(int fd);
  static unix_datagram adopt(int fd, std::error_code& ec) noexcept;

 private:
  explicit unix_datagram(int fd) noexcept : datagram_socket(fd) {}
};

}  // namespace coir::net
