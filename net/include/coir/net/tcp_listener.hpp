/// Accepting TCP connections.
#pragma once

#include <coir/net/listener.hpp>
#include <coir/net/tcp_stream.hpp>

namespace coir::net {

/// A listening TCP socket; listener describes closing, deadlines and threads.
class COIR_API tcp_listener : public listener {
 public:
  /// How to listen.
  struct options {
    int backlog = default_backlog;  ///< see default_backlog
    bool reuse_address =
        true;  ///< may take a port whose last connections still linger (SO_REUSEADDR)
    bool reuse_port =
        false;             ///< several listeners share the port, the kernel deals connections out
    bool v6_only = false;  ///< [::] does not take IPv4 connections as well
  };

  /// Empty.
  tcp_listener() noexcept = default;

  /// Listens on `local`; port 0 lets the kernel choose one, which local_address() tells. Never
  /// parks.
  static tcp_listener listen(const address& local, const options& how);
  static tcp_listener listen(const address& local) { return listen(local, options()); }
  /// Their twins; the listener is empty when `ec` is set.
  static tcp_listener listen(const address& local, const options& how, std::error_code& ec);
  static tcp_listener listen(const address& local, std::error_code& ec) {
    return listen(local, options(), ec);
  }

  /// The next connection; parks until there is one, the deadline passes (std::errc::timed_out) or
  /// the listener is closed (std::errc::bad_file_descriptor). A connection that its peer gave up
  /// meanwhile is passed over. A shortage of descriptors or memory is reported at once, see
  /// is_resource_shortage(), and the connection stays in the queue. Throws fiber_exit when the
  /// fiber is killed meanwhile; no connection is lost by that.
  tcp_stream accept();
  tcp_stream accept(std::error_code& ec);
  /// The same, and tells the peer's address, which the stream cannot tell any more once the peer
  /// has reset it.
  tcp_stream accept(address& peer);
  tcp_stream accept(address& peer, std::error_code& ec);

  /// Takes over a listening TCP socket, for instance an inherited one. Makes it non-blocking, which
  /// everybody notices who shares its open file description. On an error the descriptor stays the
  /// caller's. Never parks.
  static tcp_listener adopt(int fd);
  static tcp_listener adopt(int fd, std::error_code& ec) noexcept;

 private:
  explicit tcp_listener(int fd) noexcept : listener(fd) {}
};

}  // namespace coir::net
