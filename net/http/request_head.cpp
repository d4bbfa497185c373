#include "net/http/request_head.hpp"

#include "net/http/text.hpp"

#include <coir/net/uri.hpp>

#include <algorithm>
#include <utility>

namespace coir::net::http {
namespace {

constexpr std::string_view host_name = "Host";

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

}  // namespace

int request_head::set_target(std::string_view target) {
  if (target.size() > limits_.target_bytes_max) return 414;
  request_.target_.assign(target.data(), target.size());
  return 0;
}

void request_head::add(std::string_view name, std::string_view value) {
  hosts_ += name.size() == host_name.size() && equal_ignoring_case(name, host_name);
  request_.headers_.append(name, value);
}

int request_head::finish(bool has_body, std::optional<std::uint64_t> length) {
  request_.has_body_ = has_body;
  request_.content_length_ = length;
  if (const int status = take_host(); status != 0) return status;
  return take_target();
}

int request_head::take_host() {
  if (hosts_ > 1 || (hosts_ == 0 && request_.version_ >= 11)) return 400;
  request_.host_ = request_.headers_.get(host_name);
  return outside_of_hosts.has_any_of(request_.host_) ? 400 : 0;
}

int request_head::take_target() {
  std::string_view rest = request_.target_;
  request_.query_ = {};
  request_.raw_path_ = rest;
  if (request_.method_ == "CONNECT") return 501;
  if (rest == "*" && request_.method_ == "OPTIONS") {
    request_.path_.assign(1, '*');
    return 0;
  }
  if (const std::string_view absolute = after_scheme(rest); !absolute.empty()) {
    const std::size_t end = std::min(absolute.find_first_of("/?"), absolute.size());
    request_.host_ = absolute.substr(0, end);
    rest = absolute.substr(end);
    if (!rest.starts_with('/') && request_.host_.empty()) return 400;
  } else if (!rest.starts_with('/')) {
    return 400;
  }
  if (rest.find('#') != std::string_view::npos) return 400;
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
    if (!normal) return 400;
    request_.path_ = std::move(*normal);
  }
  return 0;
}

}  // namespace coir::net::http
