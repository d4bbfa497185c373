/// What an HTTP server's handler is asked.
#pragma once

#include <coir/export.hpp>
#include <coir/net/address.hpp>
#include <coir/net/buffer.hpp>
#include <coir/net/error.hpp>
#include <coir/net/http_headers.hpp>
#include <coir/net/uri.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace coir::net {
namespace http {
class request_head;
class server_exchange;
}  // namespace http

/// A request that a server has received: its head, and the way to its body. Belongs to the server;
/// valid until the handler returns, and to be used by the handler's fiber and others of its worker.
class COIR_API http_request {
 public:
  http_request(const http_request&) = delete;
  http_request& operator=(const http_request&) = delete;

  /// "GET". Methods are compared with regard to case.
  std::string_view method() const noexcept { return method_; }
  /// The path with the query, as the client sent it: "/a%20b?c=d".
  std::string_view target() const noexcept { return target_; }
  /// The decoded path in its normal form, without "." and "..": "/a b". "*" for the target "*".
  std::string_view path() const noexcept { return path_; }
  /// What follows the '?' of the target, not decoded; empty when there is none.
  std::string_view query() const noexcept { return query_; }
  /// The value of a name of the query, decoded; nothing when the query has no such name. Throws
  /// http_error 400 when the query is not encoded rightly.
  std::optional<std::string> query_value(std::string_view name) const;
  /// 10, 11 or 20, for HTTP/1.0, HTTP/1.1 and HTTP/2.
  int version() const noexcept { return version_; }
  /// The header fields.
  const http_headers& headers() const noexcept { return headers_; }
  /// The host that the client asked, with a port if it gave one; empty when it did not say.
  std::string_view host() const noexcept { return host_; }
  /// The client's address.
  const address& peer() const noexcept { return peer_; }
  /// What a router's pattern found for "{name}", decoded; empty when the pattern has no such name.
  std::string_view path_value(std::string_view name) const noexcept;

  /// True when the client sends a body, be it empty.
  bool has_body() const noexcept { return has_body_; }
  /// How long the body is; nothing when it comes in chunks, or there is none.
  std::optional<std::uint64_t> content_length() const noexcept { return content_length_; }
  /// Reads what has come of the body, at least one byte; parks until there is something. Returns 0
  /// at its end. A client that waits to be told to go on (100-continue) is told so first. Throws
  /// http_error: 413 when the body is longer than the server allows, 408 when the client is slower
  /// than it allows, 400 when the body is malformed or ends too early; std::system_error when the
  /// connection fails; fiber_exit when the fiber is killed.
  std::size_t read_some(mutable_buffer into);
  /// The whole rest of the body; parks until it is there. Throws what read_some does.
  std::string read_body();

 private:
  friend class http::request_head;
  friend class http::server_exchange;
  friend class http_router;

  http_request() = default;

  std::string method_;
  std::string target_;
  std::string path_;
  std::string_view raw_path_;  ///< of target_
  std::string_view query_;     ///< of target_
  std::string_view host_;      ///< of target_ or headers_
  http_headers headers_;
  std::vector<std::pair<std::string, std::string>> path_values_;
  std::optional<std::uint64_t> content_length_;
  address peer_;
  int version_ = 11;
  bool has_body_ = false;
  http::server_exchange* exchange_ = nullptr;
};

}  // namespace coir::net
