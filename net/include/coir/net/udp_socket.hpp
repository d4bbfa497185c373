/// UDP.
#pragma once

#include <coir/net/datagram_socket.hpp>

namespace coir::net {

/// A UDP socket; datagram_socket describes sending, receiving, closing and deadlines.
class COIR_API udp_socket : public datagram_socket {
 public:
  /// How to bind.
  struct options {
    bool reuse_address =
        false;  ///< several sockets get every broadcast and multicast to this port (SO_REUSEADDR)
    bool reuse_port =
        false;  ///< several sockets share the port, the kernel deals datagrams out (SO_REUSEPORT)
    bool v6_only = false;  ///< [::] does not take IPv4 datagrams as well
  };

  /// Empty.
  udp_socket() noexcept = default;

  /// A socket that receives what is sent to `local`; port 0 lets the kernel choose one, which
  /// local_address() tells. Never parks.
  static udp_socket bind(const address& local, const options& how);
  static udp_socket bind(const address& local) { return bind(local, options()); }
  /// Their twins; the socket is empty when `ec` is set.
  static udp_socket bind(const address& local, const options& how, std::error_code& ec) noexcept;
  static udp_socket bind(const address& local, std::error_code& ec) noexcept {
    return bind(local, options(), ec);
  }
  /// A socket that is bound to any free port when it first sends, and then sends to `peer`: bind
  /// and connect for clients. Never parks.
  static udp_socket connected_to(const address& peer);
  static udp_socket connected_to(const address& peer, std::error_code& ec) noexcept;

  /// Takes over a UDP socket. Makes it non-blocking, which everybody notices who shares its open
  /// file description. On an error the descriptor stays the caller's. Never parks.
  static udp_socket adopt(int fd);
  static udp_socket adopt(int fd, std::error_code& ec) noexcept;

  /// Whether sending to a broadcast address is allowed; off at first, and then
  /// std::errc::permission_denied. Never parks.
  void set_broadcast(bool on);
  void set_broadcast(bool on, std::error_code& ec) noexcept;

  /// Joins a multicast group, IPv4 or IPv6, on the interface of that index (0: the kernel chooses).
  /// Never parks.
  void join(const address& group, unsigned interface_index = 0);
  void join(const address& group, unsigned interface_index, std::error_code& ec) noexcept;
  /// Leaves a group that was joined on that interface. Never parks.
  void leave(const address& group, unsigned interface_index = 0);
  void leave(const address& group, unsigned interface_index, std::error_code& ec) noexcept;
  /// The interface by which multicasts leave (0: the kernel chooses). Never parks.
  void set_multicast_interface(unsigned interface_index);
  void set_multicast_interface(unsigned interface_index, std::error_code& ec) noexcept;
  /// How many networks a multicast may cross; 1 at first: the local one only. Never parks.
  void set_multicast_hops(int hops);
  void set_multicast_hops(int hops, std::error_code& ec) noexcept;

 private:
  explicit udp_socket(int fd) noexcept : datagram_socket(fd) {}
};

}  // namespace coir::net
