#include "net/http/message_reader.hpp"

#include "net/http/text.hpp"

#include <optional>

namespace coir::net::http {
namespace {

namespace beast_http = boost::beast::http;

constexpr std::string_view empty_line = "\r\n";

/// True when a request line ends with a version that is written rightly: "HTTP/2.0".
bool tells_version(std::string_view line) noexcept {
  constexpr std::string_view name = "HTTP/";
  const std::string_view version = line.substr(line.rfind(' ') + 1);
  return version.size() == name.size() + 3 && version.starts_with(name) &&
         is_digit(version[name.size()]) && version[name.size() + 1] == '.' &&
         is_digit(version[name.size() + 2]);
}

}  // namespace

message_reader::message_reader(http_request& into, const http_options& limits)
    : request_(into), head_(into, limits), limits_(limits) {
  header_limit(static_cast<std::uint32_t>(limits.header_bytes_max));
  body_limit(limits.body_bytes_max);
}

bool message_reader::read_head(input& from) {
  while (!got_some() && from.unread().starts_with(empty_line)) {  // RFC 9112, section 2.2
    head_bytes_ += empty_line.size();
    from.consume(empty_line.size());
  }
  needs_more_ = !got_some() && from.unread() == empty_line.substr(0, 1);
  while (!is_header_done() && status_ == 0 && !needs_more_) {
    const std::size_t before = from.unread().size();
    step(from);
    head_bytes_ += before - from.unread().size();
  }
  const std::size_t bytes = head_bytes_ + (is_header_done() ? 0 : from.unread().size() + 1);
  if (status_ == 0 && bytes > limits_.header_bytes_max) status_ = 431;
  if (status_ == 431 && request_.method().empty()) status_ = 414;  // it is all request line so far
  return is_header_done() && status_ == 0;
}

/// Lets Beast understand what there is, up to the next part of the message.
void message_reader::step(input& from) {
  const std::string_view all = from.unread();
  const error_code ec = understand(from);
  if (!ec || status_ != 0) return;
  const bool is_foreign_version =
      ec == beast_http::error::bad_version && tells_version(all.substr(0, all.find(empty_line)));
  status_ = is_foreign_version ? 505 : status_of(ec);
}

int message_reader::status_of(const error_code& ec) noexcept {
  if (ec == beast_http::error::header_limit) return 431;
  if (ec == beast_http::error::body_limit) return 413;
  return 400;
}

/// Ends the parsing with this status, unless it is 0.
void message_reader::refuse(int status, error_code& ec) {
  if (status == 0) return;
  status_ = status;
  ec = beast_http::error::bad_value;
}

void message_reader::on_request_impl(beast_http::verb, string_view method, string_view target,
                                     int version, error_code& ec) {
  head_.set_method(plain(method));
  head_.set_version(version);
  refuse(head_.set_target(plain(target)), ec);
}

void message_reader::on_field_impl(beast_http::field name, string_view name_text, string_view value,
                                   error_code& ec) {
  refuse(head_.count_field(), ec);
  if (is_header_done() || ec) return;  // of trailers nobody asks
  if (is_folded(name_text, value, limits_.header_bytes_max)) return refuse(400, ec);
  if (name == beast_http::field::transfer_encoding) {
    if (request_.version() < 11) return refuse(400, ec);
    if (!equal_ignoring_case(plain(value), "chunked")) return refuse(501, ec);
  }
  head_.add(plain(name_text), plain(value));
}

void message_reader::on_header_impl(error_code& ec) {
  const auto said = content_length();
  const auto length = said ? std::optional<std::uint64_t>(*said) : std::nullopt;
  refuse(head_.finish(length || chunked(), length), ec);
}

std::size_t message_reader::read_body(input& from, mutable_buffer into) {
  aim_at(into);
  while (body_taken_ == 0 && !is_done() && status_ == 0 && !needs_more_) step(from);
  if (waits_behind_bare_lf(from)) status_ = 400;
  return body_taken_;
}

void message_reader::note_body(mutable_buffer bytes) {
  if (const error_code ec = understand_in_place(bytes)) status_ = status_of(ec);
}

}  // namespace coir::net::http
