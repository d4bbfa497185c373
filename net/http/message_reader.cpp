#include "net/http/message_reader.hpp"

#include "net/http/text.hpp"

#include <algorithm>

namespace coir::net::http {
namespace {

namespace beast_http = boost::beast::http;

constexpr std::string_view empty_line = "\r\n";

/// True for a path that is its own decoded, normal form, as nearly all are.
bool is_plain_path(std::string_view path) noexcept {
  char before = '\0';
  for (const char c : path) {
    if (c == '%' || c == '\0' || (before == '/' && (c == '/' || c == '.'))) return false;
    before = c;
  }
  return true;
}

/// A table, since find_first_of would search this list anew for each character.
constexpr char_set outside_of_hosts(" \t,/?#@\\");

/// The part of an absolute target ("http://host/path") behind its scheme; empty for another form.
std::string_view after_scheme(std::string_view target) noexcept {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (equal_ignoring_case(target.substr(0, scheme.size()), scheme)) {
      return target.substr(scheme.size());
    }
  }
  return {};
}

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
    : request_(into), limits_(limits) {
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
  if (status_ == 431 && request_.method_.empty()) status_ = 414;  // it is all request line so far
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

/// Ends the parsing with this status.
void message_reader::refuse(int status, error_code& ec) {
  status_ = status;
  ec = beast_http::error::bad_value;
}

void message_reader::on_request_impl(beast_http::verb, string_view method, string_view target,
                                     int version, error_code& ec) {
  request_.method_.assign(method.data(), method.size());
  request_.version_ = version;
  if (target.size() > limits_.target_bytes_max) return refuse(414, ec);
  request_.target_.assign(target.data(), target.size());
}

void message_reader::on_field_impl(beast_http::field name, string_view name_text, string_view value,
                                   error_code& ec) {
  if (++fields_ > limits_.header_fields_max) return refuse(431, ec);
  if (is_header_done()) return;  // a trailer: nobody asks for those
  if (is_folded(name_text, value, limits_.header_bytes_max)) return refuse(400, ec);
  if (name == beast_http::field::transfer_encoding) {
    if (request_.version_ < 11) return refuse(400, ec);
    if (!equal_ignoring_case(plain(value), "chunked")) return refuse(501, ec);
  }
  hosts_ += name == beast_http::field::host;
  request_.headers_.append(plain(name_text), plain(value));
}

void message_reader::on_header_impl(error_code& ec) {
  check_host(ec);
  if (!ec) take_target(ec);
  const auto length = content_length();
  request_.content_length_.reset();
  if (length) request_.content_length_ = *length;
  request_.has_body_ = length || chunked();
}

void message_reader::check_host(error_code& ec) {
  if (hosts_ > 1 || (hosts_ == 0 && request_.version_ >= 11)) return refuse(400, ec);
  request_.host_ = request_.headers_.get("Host");
  if (outside_of_hosts.has_any_of(request_.host_)) refuse(400, ec);
}

void message_reader::take_target(error_code& ec) {
  std::string_view rest = request_.target_;
  request_.query_ = {};
  request_.raw_path_ = rest;
  if (request_.method_ == "CONNECT") return refuse(501, ec);
  if (rest == "*" && request_.method_ == "OPTIONS") {
    request_.path_.assign(1, '*');
    return;
  }
  if (const std::string_view absolute = after_scheme(rest); !absolute.empty()) {
    const std::size_t end = std::min(absolute.find_first_of("/?"), absolute.size());
    request_.host_ = absolute.substr(0, end);
    rest = absolute.substr(end);
    if (!rest.starts_with('/') && request_.host_.empty()) return refuse(400, ec);
  } else if (!rest.starts_with('/')) {
    return refuse(400, ec);
  }
  if (rest.find('#') != std::string_view::npos) return refuse(400, ec);
  const std::string_view path = take_until(rest, '?');
  request_.query_ = rest;
  request_.raw_path_ = path.empty() ? std::string_view("/") : path;
  if (path.empty()) {
    request_.path_.assign(1, '/');
  } else if (is_plain_path(path)) {
    request_.path_ = path;
  } else {
    const auto decoded = percent_decoded(path);
    auto normal = decoded ? normal_path(*decoded) : std::nullopt;
    if (!normal) return refuse(400, ec);
    request_.path_ = std::move(*normal);
  }
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
