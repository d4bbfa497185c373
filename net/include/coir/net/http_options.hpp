/// How an HTTP server treats its clients.
#pragma once

#include <coir/net/http_request.hpp>
#include <coir/net/http_response.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <string_view>

namespace coir::net {

/// Answers one request; runs in the fiber of its connection, or of HTTP/2's stream, so it may park.
/// What it throws: an http_error becomes the answer; anything else becomes 500, or the end of the
/// connection (of the stream) when the answer has begun already, and is told to
/// http_options::on_error.
using http_handler = std::function<void(http_request&, http_response&)>;

/// Limits and time-outs against clients that send too much or too slowly, and what is told.
struct http_options {
  std::size_t target_bytes_max = 8 * 1024;     ///< of the request's target; longer: 414
  std::size_t header_bytes_max = 16 * 1024;    ///< of the whole head; longer: 431
  std::size_t header_fields_max = 100;         ///< more: 431
  std::uint64_t body_bytes_max = 1024 * 1024;  ///< more: 413

  /// How long a connection may wait for its next request; then it is closed.
  std::chrono::milliseconds idle_timeout{std::chrono::seconds(60)};
  /// How long a head may take from its first byte on; longer: 408, or the end of the connection of
  /// HTTP/2.
  std::chrono::milliseconds header_timeout{std::chrono::seconds(10)};
  /// How long a body may take, and one second more for each `body_bytes_per_second_min` bytes that
  /// have come; longer: 408.
  std::chrono::milliseconds body_timeout{std::chrono::seconds(30)};
  std::uint64_t body_bytes_per_second_min = 500;  ///< see body_timeout
  /// How long one write of the handler may take.
  std::chrono::milliseconds write_timeout{std::chrono::seconds(60)};

  /// Clients may speak HTTP/2, too: over TLS those that have agreed on "h2", which the server's
  /// tls_options::alpn must offer ({"h2", "http/1.1"}), and without TLS those that know beforehand.
  /// The requests of one such connection are answered at the same time, each in a fiber of its own:
  /// stream_server::options::max_connections then bounds connections, and no longer handlers.
  bool http2 = false;
  /// How many requests of one connection of HTTP/2 are answered at the same time; more are refused,
  /// and the client may repeat them. From 1 to 10000.
  unsigned http2_streams_max = 100;

  /// Gets a line in the common log format, without its line end, after each request. It may be
  /// called by several workers at a time. Empty: nothing is told.
  std::function<void(std::string_view line)> access_log;
  /// Gets what a handler threw that was no http_error. It may be called by several workers at a
  /// time. Empty: a line on stderr.
  std::function<void(const http_request&, std::exception_ptr)> on_error;
};

}  // namespace coir::net
