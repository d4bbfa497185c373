/// TLS connections.
#pragma once

#include <coir/net/resolver.hpp>
#include <coir/net/socket_stream.hpp>
#include <coir/net/tls_certificate.hpp>
#include <coir/net/tls_context.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

struct ssl_st;  // OpenSSL's SSL

namespace coir::net {

/// A connection that TLS protects, over a tcp_stream or unix_stream; stream describes its reading,
/// writing, closing and deadlines. Before anything can be read or written its handshake must have
/// succeeded.
///
/// The end of a stream is told from a cut: read_some returns 0 only when the peer has said that it
/// ends (close_notify). A connection that ends without that is tls_errc::truncated.
///
/// After a deadline or a kill in a read or write the stream is as good as before. What such a write
/// had counted as written will be sent by the next write or shutdown; so a write_some that throws
/// may have taken some bytes: use write_all, or the twin, which tell how many. An error of TLS
/// itself (tls_category) ends the stream: later calls meet it again.
///
/// Not for two processes: after fork() only one may use the connection.
class COIR_API tls_stream : public stream {
 public:
  using stream::close;
  using stream::local_address;
  using stream::peer_address;
  using stream::shutdown;

  /// Empty.
  tls_stream() noexcept;
  /// The client's end over `socket`, which is connected to a server called `server_name`: a host
  /// name or an IP address, asked for (SNI) and checked against the certificate. The socket's
  /// deadlines become the stream's. Throws std::bad_alloc only; what is wrong with the context or
  /// the name, handshake() tells. Never parks.
  tls_stream(socket_stream&& socket, const tls_context& context, std::string_view server_name);
  /// The server's end over `socket`. As the above.
  tls_stream(socket_stream&& socket, const tls_context& context);
  tls_stream(tls_stream&& other) noexcept;
  tls_stream& operator=(tls_stream&& other) noexcept;
  ~tls_stream() override;

  /// Connects to `host` by TCP, as tcp_stream::connect does, and shakes hands; `limit` counts over
  /// all of it. Without a context: tls_context::client(), of which the process keeps one.
  static tls_stream connect(std::string_view host, const service& port, const tls_context& context,
                            time_limit limit = {});
  static tls_stream connect(std::string_view host, const service& port, time_limit limit = {});
  /// Their twins; the stream is empty when `ec` is set.
  static tls_stream connect(std::string_view host, const service& port, const tls_context& context,
                            time_limit limit, std::error_code& ec);
  static tls_stream connect(std::string_view host, const service& port, time_limit limit,
                            std::error_code& ec);

  /// Agrees with the peer on everything, and parks meanwhile, for no longer than `limit`; the
  /// stream's own deadlines do not count. Must come before the first read or write. When it fails
  /// in any way, by a kill or `limit` (std::errc::timed_out) too, the stream is closed. Does
  /// nothing once it has succeeded. The text of what it throws names the peer and, where a
  /// certificate is at fault, its subject. Under TLS 1.3 a client's handshake is over before the
  /// server has looked at the client's certificate: that it was refused, the first read tells.
  void handshake(time_limit limit = {});
  void handshake(time_limit limit, std::error_code& ec);
  void handshake(std::error_code& ec) { handshake(time_limit(), ec); }
  /// To be called before the handshake, by a client: takes up a session of an earlier connection,
  /// if the server agrees, in place of one that the context keeps. A session that was made for
  /// another server name, or without verification where this context verifies, is passed over.
  /// Never parks.
  void resume(const tls_session& earlier);

  /// After `write` the peer reads what was written before and then the end of the stream; parks,
  /// until the write deadline, while that does not fit. Reading goes on. After `read` the calls
  /// that read get what has come already, then the end.
  void shutdown(direction which, std::error_code& ec) override;
  /// Tells the peer of the end, if that can be done at once, and closes the socket. To be sure that
  /// the peer learns that everything was sent: shutdown(direction::write), then read to the end.
  void close(std::error_code& ec) noexcept override;
  bool is_open() const noexcept override;
  address local_address(std::error_code& ec) const noexcept override;
  address peer_address(std::error_code& ec) const noexcept override;
  int native_handle() const noexcept override;

  // What was agreed on. Empty before the handshake; still there after close(). None of these parks.
  /// True once the handshake has succeeded.
  bool is_secure() const noexcept;
  /// "TLSv1.3", "TLSv1.2".
  std::string version() const;
  /// OpenSSL's name of the cipher: "TLS_AES_256_GCM_SHA384".
  std::string cipher() const;
  /// The protocol above TLS (ALPN): "h2"; empty when none was agreed on.
  std::string alpn() const;
  /// The name that the client has asked for (SNI), or verifies; empty when it has none.
  std::string server_name() const;
  /// True when the connection went on where an earlier one left off.
  bool is_resumed() const noexcept;
  /// The peer's certificate; none when it has shown none, as most clients.
  std::optional<tls_certificate> peer_certificate() const;
  /// What the verification of the peer's certificate found, also where the context did not insist;
  /// no error when all is well, or when there was none to verify. After a failed handshake:
  /// what was wrong.
  std::error_code verification() const noexcept;
  /// A client's session, for resume(); none before the server has sent one: under TLS 1.3 that is
  /// seen by the first reads after the handshake.
  tls_session session() const;
  /// OpenSSL's SSL, for what has no word here. It must not be read, written or shaken hands with.
  /// Null when empty. The stream owns it.
  ssl_st* native_tls() const noexcept;

 private:
  std::size_t do_read(mutable_buffer into, coir::detail::deadline until,
                      std::error_code& ec) override;
  bool do_wait_readable(coir::detail::deadline until, std::error_code& ec) override;
  std::size_t do_write(const_buffer from, coir::detail::deadline until,
                       std::error_code& ec) override;
  std::size_t do_write_parts(std::span<const const_buffer> parts, coir::detail::deadline until,
                             std::error_code& ec) override;

  std::string handshake_text() const;

  detail::tls_engine* engine_ = nullptr;
};

/// What puts TLS on the connections of a server: `options.wrap = net::serve_tls(context)`. Each
/// handshake may take up to `limit`; one that fails is told to the server's on_error. The
/// connection must be a socket_stream: std::invalid_argument. Throws std::bad_alloc. Never parks;
/// what it returns does.
COIR_API std::function<std::unique_ptr<stream>(std::unique_ptr<stream>)> serve_tls(
    const tls_context& context, std::chrono::milliseconds limit = std::chrono::seconds(10));

}  // namespace coir::net
