/// Understands requests: Boost.Beast's parser, and the checks that it leaves to its users.
#pragma once

#include "net/http/message_parser.hpp"
#include "net/http/request_head.hpp"

#include <coir/net/http_options.hpp>
#include <coir/net/http_request.hpp>

#include <cstddef>
#include <cstdint>

namespace coir::net::http {

/// Reads one request. Made anew for each.
///
/// Beast finds the lines and fields of the head, refuses what is no HTTP/1.0 or 1.1, a head that
/// has both a Content-Length and a Transfer-Encoding, and two lengths that differ, and takes chunks
/// apart. What it lets pass and is refused here: a folded field, a Transfer-Encoding other than
/// "chunked", a Host that is missing or comes twice, a target of a form that no server serves, and
/// a head that is too long altogether though no part of it is.
class message_reader : private message_parser<true> {
 public:
  /// `into` gets the head.
  message_reader(http_request& into, const http_options& limits);

  /// Looks at what `from` has; takes what it understands. True when the head is complete. Else
  /// status() says why it cannot be, or it is 0 and more input is needed.
  bool read_head(input& from);
  /// True when at least one byte of the request has come.
  bool has_begun() const noexcept { return got_some(); }
  /// The answer that a request deserves which cannot be understood; 0: nothing is wrong so far.
  int status() const noexcept { return status_; }
  /// True when the connection may carry another request after this one.
  bool allows_another() const { return is_header_done() && keep_alive(); }

  /// True when all of the request has been read.
  bool is_complete() const { return is_done(); }
  /// Takes what `from` has of the body, up to the size of `into`. Returns how much: 0 when more
  /// input is needed, when the body is complete, or with status() set.
  std::size_t read_body(input& from, mutable_buffer into);
  /// How much of a body whose length is known is still to come; 0 for one in chunks, and
  /// while the head is not complete.
  std::uint64_t bytes_left() const { return length_left(); }
  /// The same as read_body with bytes that stand in the body's own place already: bytes_left() must
  /// not be less.
  void note_body(mutable_buffer bytes);

 private:
  void on_request_impl(boost::beast::http::verb method, string_view method_text, string_view target,
                       int version, error_code& ec) override;
  void on_field_impl(boost::beast::http::field name, string_view name_text, string_view value,
                     error_code& ec) override;
  void on_header_impl(error_code& ec) override;

  void step(input& from);
  void refuse(int status, error_code& ec);
  static int status_of(const error_code& ec) noexcept;

  const http_request& request_;
  request_head head_;
  const http_options& limits_;
  std::size_t head_bytes_ = 0;
  int status_ = 0;
};

}  // namespace coir::net::http
