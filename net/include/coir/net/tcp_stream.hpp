/// TCP connections.
#pragma once

#include <coir/net/resolver.hpp>
#include <coir/net/socket_stream.hpp>

namespace coir::net {

/// A TCP connection; stream describes its reading, writing, closing and deadlines. Nagle's
/// algorithm is off from the start (TCP_NODELAY), since a small write that waits for the peer's
/// delayed acknowledgement costs 40 ms.
class COIR_API tcp_stream : public socket_stream {
 public:
  /// Empty.
  tcp_stream() noexcept = default;

  /// Connects to `peer`, and parks until that is done or has failed. When `limit` passes:
  /// std::errc::timed_out; the kernel's own patience, about two minutes, ends with the same code.
  /// The new stream has no deadlines. Throws fiber_exit when the fiber is killed meanwhile. No
  /// descriptor is left behind by a failure of any kind. Any thread, which becomes a worker.
  static tcp_stream connect(const address& peer, time_limit limit = {});
  /// Its twin; the stream is empty when `ec` is set.
  static tcp_stream connect(const address& peer, time_limit limit, std::error_code& ec);
  /// The same without a limit.
  static tcp_stream connect(const address& peer, std::error_code& ec);

  /// Resolves `host` and tries its addresses in order until one accepts. `limit` counts over all of
  /// it; an address that does not answer gets its share of the time left, so that the others get
  /// theirs. The error is that of the last address tried, or of resolve(). Throws fiber_exit when
  /// the fiber is killed meanwhile.
  static tcp_stream connect(std::string_view host, const service& port, time_limit limit = {});
  /// Its twin; the stream is empty when `ec` is set.
  static tcp_stream connect(std::string_view host, const service& port, time_limit limit,
                            std::error_code& ec);
  /// The same without a limit.
  static tcp_stream connect(std::string_view host, const service& port, std::error_code& ec);

  /// connect() on this object, which must be empty or closed, with no fiber in it; keeps to the
  /// write deadline. Unlike a connect() it can be given up by another fiber: close() ends it with
  /// std::errc::bad_file_descriptor.
  void open(const address& peer);
  void open(const address& peer, std::error_code& ec);

  /// Takes over a connected TCP socket. Makes it non-blocking, which everybody notices who shares
  /// its open file description (by dup or fork). On an error the descriptor stays the caller's.
  /// Never parks.
  static tcp_stream adopt(int fd);
  static tcp_stream adopt(int fd, std::error_code& ec);

  /// On (the default): writes are sent at once. Off: small ones are gathered, by Nagle's algorithm.
  /// Never parks.
  void set_no_delay(bool on);
  void set_no_delay(bool on, std::error_code& ec) noexcept;
  /// Whether the kernel probes an idle peer, and ends the connection when it is gone; off at first.
  /// Never parks.
  void set_keep_alive(bool on);
  void set_keep_alive(bool on, std::error_code& ec) noexcept;

 private:
  friend class tcp_listener;
  explicit tcp_stream(int fd) : socket_stream(fd) {}
  void open_until(const address& peer, coir::detail::deadline until, std::error_code& ec);
};

}  // namespace coir::net
