/// What an HTTP server's handler answers.
#pragma once

#include <coir/export.hpp>
#include <coir/net/buffer.hpp>
#include <coir/net/http_headers.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace coir::net {

class stream;
namespace http {
class server_exchange;
}  // namespace http

/// The answer to a request: first the status and the header fields, then the body, either at once
/// (send) or piece by piece (write). When the handler returns, the server completes it; a handler
/// that did nothing has answered 200 with an empty body. Belongs to the server; valid until the
/// handler returns, and to be used by one fiber of its worker at a time.
///
/// Date, Content-Length, Transfer-Encoding and Connection are the server's: it adds what is
/// missing, and leaves out what HTTP/2 has no use for. Answers to HEAD, and 204 and 304, lose their
/// body on the way. The short answers to requests that came together may go out together: no later
/// than when the handler of a next one waits for anything.
class COIR_API http_response {
 public:
  http_response(const http_response&) = delete;
  http_response& operator=(const http_response&) = delete;

  /// The status; 200 at first.
  int status() const noexcept { return status_; }
  /// Sets the status, from 200 to 599. Throws std::invalid_argument for others, and
  /// std::logic_error when the head is on its way.
  void set_status(int status);
  /// The header fields; what is changed after the head is on its way has no effect. A
  /// Content-Length that is set here is the length of what write() is going to write.
  http_headers& headers() noexcept { return headers_; }
  /// True when the head is on its way: the status cannot be changed any more.
  bool has_begun() const noexcept { return has_begun_; }

  /// Answers with this whole body; parks while the client is slow. To be called once, and without
  /// write(): std::logic_error. Throws std::system_error when the connection fails, and fiber_exit
  /// when the fiber is killed.
  void send(const_buffer body);
  /// The same with its kind: `send("application/json", text)`.
  void send(std::string_view content_type, const_buffer body);
  /// Appends to the body; parks while the client is slow. The first call sends the head. Without a
  /// Content-Length the body goes out in chunks (HTTP/1.0: until the connection ends; HTTP/2: until
  /// the stream does). An empty part sends the head only. Throws std::logic_error after send(), and
  /// when more is written than the Content-Length says; else what send does.
  void write(const_buffer part);

  /// Answers with 101 and the fields of headers(), and hands the connection over: the handler reads
  /// and writes it until it returns, when it is closed. What the client has sent already comes
  /// first. Throws what send does, and http_error 501 over HTTP/2, which hands nothing over.
  stream& upgrade();

 private:
  friend class http::server_exchange;

  http_response() = default;

  http_headers headers_;
  int status_ = 200;
  bool has_begun_ = false;
  bool is_complete_ = false;
  http::server_exchange* exchange_ = nullptr;
};

}  // namespace coir::net
