/// Requests of an HTTP client whose bodies come or go in parts.
#pragma once

#include <coir/export.hpp>
#include <coir/net/buffer.hpp>
#include <coir/net/error.hpp>
#include <coir/net/http_headers.hpp>
#include <coir/net/stream.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace coir::net {
namespace http {
class client_core;
class exchange;
}  // namespace http

/// An answer whose head has come, and the way to its body; made by http_client::open(). Holds one
/// of the client's connections until the body has been read to its end, or this is destroyed:
/// then the connection is closed, since the rest of the body would stand in the way. It may outlive
/// the client. Belongs to the client's worker; one fiber at a time. An object that was moved from,
/// or that an error left, is empty: its status is 0.
class COIR_API http_exchange {
 public:
  /// Empty.
  http_exchange() noexcept;
  http_exchange(http_exchange&& other) noexcept;
  http_exchange& operator=(http_exchange&& other) noexcept;
  ~http_exchange();

  /// 200.
  int status() const noexcept;
  /// What the server wrote behind the status, "OK"; may be empty.
  const std::string& reason() const noexcept;
  /// 10 or 11, for HTTP/1.0 and HTTP/1.1.
  int version() const noexcept;
  /// The header fields of the answer.
  const http_headers& headers() const noexcept;
  /// The URL that answered, after redirects, without userinfo.
  const std::string& url() const noexcept;
  /// How long the body is; nothing when the server did not say, and when there is none (HEAD, 204,
  /// 304).
  std::optional<std::uint64_t> content_length() const noexcept;

  /// Reads what has come of the body, at least one byte; parks until there is something. Returns 0
  /// at its end. Fails with std::errc::timed_out, net::errc::end_of_stream when the connection
  /// ended before the body, net::errc::malformed_answer, or what the connection reports; after that
  /// each call fails so. Throws fiber_exit when the fiber is killed.
  std::size_t read_some(mutable_buffer into);
  std::size_t read_some(mutable_buffer into, std::error_code& ec);
  /// The rest of the body; parks until it is there. Fails as read_some, and with
  /// net::errc::answer_too_long when it is longer than http_client::options::body_bytes_max.
  std::string read_body();
  std::string read_body(std::error_code& ec);

  /// The connection, after the status 101, where another protocol speaks on it now: as a stream
  /// without deadlines, on which what the server has sent already comes first. It counts as one of
  /// the client's connections to that host until it is destroyed, and may outlive the client. This
  /// is of no use afterwards. Throws std::logic_error for any other status. Never parks.
  std::unique_ptr<stream> take_connection();

 private:
  friend class http_client;
  friend class http_upload;
  explicit http_exchange(std::unique_ptr<http::exchange> core) noexcept;

  std::unique_ptr<http::exchange> core_;
};

/// A request whose body the caller writes in parts; made by http_client::upload(). Holds a
/// connection of its own, which is closed when this is destroyed before finish(). Otherwise as
/// http_exchange.
class COIR_API http_upload {
 public:
  /// Empty: its calls fail with std::errc::bad_file_descriptor.
  http_upload() noexcept;
  http_upload(http_upload&& other) noexcept;
  http_upload& operator=(http_upload&& other) noexcept;
  ~http_upload();

  /// Sends a part of the body; parks while the server is slow. False when the server has hung up on
  /// the body, mostly because it has answered already: then nothing more is sent, and finish() has
  /// the answer. Throws std::logic_error when more is written than the Content-Length said. Fails
  /// with std::errc::timed_out, or what the connection reports; fiber_exit when killed.
  bool write(const_buffer part);
  bool write(const_buffer part, std::error_code& ec);
  /// Ends the body, and parks until the head of the answer is there. This is empty afterwards.
  /// Throws std::logic_error when less was written than the Content-Length said; fails as
  /// http_client::open().
  http_exchange finish();
  http_exchange finish(std::error_code& ec);

 private:
  friend class http_client;
  explicit http_upload(std::unique_ptr<http::exchange> core) noexcept;

  std::unique_ptr<http::exchange> core_;
};

}  // namespace coir::net
