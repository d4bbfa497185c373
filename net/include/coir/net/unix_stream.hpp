/// Connections between processes of one machine.
#pragma once

#include <coir/net/socket_stream.hpp>

#include <utility>

namespace coir::net {

/// A unix stream socket; stream describes its reading, writing, closing and deadlines.
class COIR_API unix_stream : public socket_stream {
 public:
  /// Empty.
  unix_stream() noexcept = default;

  /// Connects to a listener's path or abstract name; parks while the listener's queue is full. When
  /// `limit` passes: std::errc::timed_out. Throws fiber_exit when the fiber is killed meanwhile. No
  /// descriptor is left behind by a failure of any kind. Any thread, which becomes a worker.
  static unix_stream connect(const address& peer, time_limit limit = {});
  /// Its twin; the stream is empty when `ec` is set.
  static unix_stream connect(const address& peer, time_limit limit, std::error_code& ec);
  /// The same without a limit.
  static unix_stream connect(const address& peer, std::error_code& ec);

  /// connect() on this object, which must be empty or closed, with no fiber in it; keeps to the
  /// write deadline. Unlike a connect() it can be given up by another fiber: close() ends it with
  /// std::errc::bad_file_descriptor.
  void open(const address& peer);
  void open(const address& peer, std::error_code& ec);

  /// Two streams connected to each other: socketpair(2). Never parks.
  static std::pair<unix_stream, unix_stream> pair();
  static std::pair<unix_stream, unix_stream> pair(std::error_code& ec);

  /// Takes over a connected unix stream socket. Makes it non-blocking, which everybody notices who
  /// shares its open file description (by dup or fork). On an error the descriptor stays the
  /// caller's. Never parks.
  static unix_stream adopt(int fd);
  static unix_stream adopt(int fd, std::error_code& ec);

 private:
  friend class unix_listener;
  explicit unix_stream(int fd) : socket_stream(fd) {}
  void open_until(const address& peer, coir::detail::deadline until, std::error_code& ec);
};

}  // namespace coir::net
