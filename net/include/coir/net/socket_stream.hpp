/// Connected stream sockets: what tcp_stream and unix_stream have in common.
#pragma once

#include <coir/detail/stream_socket.hpp>
#include <coir/export.hpp>
#include <coir/net/stream.hpp>

namespace coir::net {

/// A connected socket that carries bytes in order; stream describes its calls. Owns its descriptor,
/// which is non-blocking and closed on exec. Movable.
class COIR_API socket_stream : public stream {
 public:
  using stream::close;
  using stream::local_address;
  using stream::peer_address;
  using stream::shutdown;

  void shutdown(direction which, std::error_code& ec) noexcept override;
  void close(std::error_code& ec) noexcept override;
  bool is_open() const noexcept override;
  address local_address(std::error_code& ec) const noexcept override;
  address peer_address(std::error_code& ec) const noexcept override;
  int native_handle() const noexcept override;

  /// Gives the descriptor up: the stream is empty and the caller owns what is returned (-1 when
  /// there was none), still non-blocking. No fiber may wait in the stream. Never parks.
  int release() noexcept;

 protected:
  socket_stream() noexcept;
  /// Takes over a connected, non-blocking descriptor; closes it if there is no memory.
  explicit socket_stream(int fd);
  socket_stream(socket_stream&& other) noexcept;
  socket_stream& operator=(socket_stream&& other) noexcept;
  ~socket_stream() override;

  /// Makes the socket and connects it to `peer`; parks. The stream must be empty or closed, with no
  /// fiber in it.
  void open_socket(const address& peer, coir::detail::deadline until, std::error_code& ec);
  /// Makes `fd` non-blocking, if it is a stream socket of a family that `accepts_family` knows.
  static void prepare_adoption(int fd, bool (*accepts_family)(int), std::error_code& ec) noexcept;
  /// The descriptor, for layers above that try first and wait by themselves.
  io::stream_socket& socket() noexcept { return socket_; }

 private:
  std::size_t do_read(mutable_buffer into, coir::detail::deadline until,
                      std::error_code& ec) override;
  bool do_wait_readable(coir::detail::deadline until, std::error_code& ec) override;
  std::size_t do_write(const_buffer from, coir::detail::deadline until,
                       std::error_code& ec) override;
  std::size_t do_write_parts(std::span<const const_buffer> parts, coir::detail::deadline until,
                             std::error_code& ec) override;

  void hold(int fd);
  bool begin_call(std::error_code& ec) const;

  io::stream_socket socket_;
};

}  // namespace coir::net
