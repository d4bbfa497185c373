#include "net/http/answer_reader.hpp"

#include "net/http/text.hpp"

#include <coir/net/error.hpp>

namespace coir::net::http {

namespace beast_http = boost::beast::http;

answer_reader::answer_reader(answer_head& into, const limits& bounds, bool has_no_body)
    : head_(into), limits_(bounds) {
  header_limit(static_cast<std::uint32_t>(bounds.header_bytes_max));
  body_limit(boost::none);  // who reads a body bounds it
  skip(has_no_body);
}

bool answer_reader::read_head(input& from) {
  needs_more_ = false;
  while (!is_header_done() && !error_ && !needs_more_) {
    const std::size_t before = from.unread().size();
    step(from);
    head_bytes_ += before - from.unread().size();
  }
  const std::size_t bytes = head_bytes_ + (is_header_done() ? 0 : from.unread().size() + 1);
  if (!error_ && bytes > limits_.header_bytes_max) {
    error_ = errc::answer_too_long;
    why_ = "its head is longer than " + std::to_string(limits_.header_bytes_max) + " bytes";
  }
  return is_header_done() && !error_;
}

/// Lets Beast understand what there is, up to the next part of the message.
void answer_reader::step(input& from) { note(understand(from)); }

void answer_reader::note(const error_code& ec) {
  if (!ec || error_) return;
  error_ = ec == beast_http::error::header_limit ? errc::answer_too_long : errc::malformed_answer;
  why_ = ec.message();
}

/// Ends the parsing.
void answer_reader::refuse(const std::error_code& as, const char* why, error_code& ec) {
  error_ = as;
  why_ = why;
  ec = beast_http::error::bad_value;
}

void answer_reader::on_response_impl(int status, string_view reason, int version, error_code& ec) {
  head_.status = status;
  head_.reason.assign(reason.data(), reason.size());
  head_.version = version;
  if (status < 100 || status > 599) {
    refuse(errc::malformed_answer, "its status is not from 100 to 599", ec);
  }
}

void answer_reader::on_field_impl(beast_http::field name, string_view name_text, string_view value,
                                  error_code& ec) {
  if (++fields_ > limits_.header_fields_max) {
    return refuse(errc::answer_too_long, "it has too many header fields", ec);
  }
  if (is_header_done()) return;  // a trailer: nobody asks for those
  if (is_folded(name_text, value, limits_.header_bytes_max)) {
    return refuse(errc::malformed_answer, "a header field goes on in the next line", ec);
  }
  if (name == beast_http::field::transfer_encoding) {
    if (head_.version < 11 || !equal_ignoring_case(plain(value), "chunked")) {
      return refuse(errc::malformed_answer, "its Transfer-Encoding is not \"chunked\"", ec);
    }
  }
  head_.headers.append(plain(name_text), plain(value));
}

std::optional<std::uint64_t> answer_reader::body_length() const {
  const auto length = content_length();
  const bool has_none = is_done() && (!length || *length != 0);
  if (!length || has_none) return std::nullopt;
  return *length;
}

std::size_t answer_reader::read_body(input& from, mutable_buffer into) {
  aim_at(into);
  while (body_taken_ == 0 && !is_done() && !error_ && !needs_more_) step(from);
  if (!error_ && waits_behind_bare_lf(from)) {
    error_ = errc::malformed_answer;
    why_ = "the line of a chunk ends without CR";
  }
  return body_taken_;
}

void answer_reader::note_body(mutable_buffer bytes) { note(understand_in_place(bytes)); }

void answer_reader::note_end() {
  error_code ec;
  put_eof(ec);
  note(ec);
}

}  // namespace coir::net::http
