/// Understands answers: Boost.Beast's parser, and the checks that it leaves to its users.
#pragma once

#include "net/http/message_parser.hpp"

#include <coir/net/http_headers.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <system_error>

namespace coir::net::http {

/// The head of an answer.
struct answer_head {
  int status = 0;
  int version = 0;
  std::string reason;
  http_headers headers;
};

/// Reads one answer, interim ones included. Made anew for each.
///
/// Beast refuses what is no HTTP/1.0 or 1.1, a head that has both a Content-Length and a
/// Transfer-Encoding, and two lengths that differ, takes chunks apart, and knows which answers have
/// no body. What it lets pass and is refused here: a folded field, a Transfer-Encoding other than
/// "chunked", and a head that is too long altogether though no part of it is.
class answer_reader : private message_parser<false> {
 public:
  /// What the head of an answer may be.
  struct limits {
    std::size_t header_bytes_max;
    std::size_t header_fields_max;
  };

  /// `into` gets the head. `has_no_body`: the answer is to a HEAD.
  answer_reader(answer_head& into, const limits& bounds, bool has_no_body);

  /// Looks at what `from` has; takes what it understands. True when the head is complete. Else
  /// error() says why it cannot be, or more input is needed.
  bool read_head(input& from);
  /// What is wrong with the answer, and, behind it, what exactly.
  const std::error_code& error() const noexcept { return error_; }
  const std::string& why() const noexcept { return why_; }
  /// True when the connection may carry another request after this one.
  bool allows_another() const { return is_header_done() && keep_alive(); }
  /// The length of the body; nothing when it is not known, and when there is none.
  std::optional<std::uint64_t> body_length() const;

  /// True when all of the answer has been read.
  bool is_complete() const { return is_done(); }
  /// True when the body ends with the connection.
  bool ends_with_connection() const { return need_eof(); }
  /// Takes what `from` has of the body, up to the size of `into`. Returns how much: 0 when more
  /// input is needed, when the body is complete, or with error() set.
  std::size_t read_body(input& from, mutable_buffer into);
  /// How much of a body whose length is known is still to come; 0 for another one.
  std::uint64_t bytes_left() const { return length_left(); }
  /// The same as read_body with bytes that stand in the body's own place already: bytes_left() must
  /// not be less, unless the body ends with the connection.
  void note_body(mutable_buffer bytes);
  /// The connection has ended: completes a body that ends so.
  void note_end();

 private:
  void on_response_impl(int status, string_view reason, int version, error_code& ec) override;
  void on_field_impl(boost::beast::http::field name, string_view name_text, string_view value,
                     error_code& ec) override;
  void on_header_impl(error_code&) override {}

  void step(input& from);
  void refuse(const std::error_code& as, const char* why, error_code& ec);
  void note(const error_code& ec);

  answer_head& head_;
  const limits& limits_;
  std::size_t head_bytes_ = 0;
  std::size_t fields_ = 0;
  std::error_code error_;
  std::string why_;
};

}  // namespace coir::net::http
