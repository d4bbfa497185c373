// URLs: a base and, behind the end of its line, a reference beside it; and the URLs of WebSockets.
// Checked beside crashes: what is put together again is taken apart into the same, a reference
// leads where its own text leads, and nothing of it can end a line of a request.
#include "net/http/plan.hpp"
#include "net/websocket/handshake.hpp"
#include "tests/fuzz/support.hpp"

#include <coir/net/url.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>

namespace {

namespace net = coir::net;
using coir::fuzz::demand;
using net::url;

bool is_printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
}

bool has_dots(std::string_view path) {
  const std::string closed = std::string(path) + '/';
  return closed.starts_with("./") || closed.starts_with("../") ||
         closed.find("/./") != std::string::npos || closed.find("/../") != std::string::npos;
}

void check_parts(const url& of) {
  demand(is_printable(of.to_string()) && is_printable(of.target()));
  demand(is_printable(of.host_and_port()) && is_printable(of.origin()));
  const bool is_web = of.scheme() == "http" || of.scheme() == "https";
  demand(!is_web || !of.host().empty());
  demand(of.host().find_first_of("/?#@") == std::string::npos);
  std::error_code ec;
  const url shown = url::parse(of.to_public_string(), ec);
  demand(!ec && !shown.userinfo() && shown.host() == of.host());
}

url checked_parse(std::string_view text, std::error_code& ec) {
  const url parsed = url::parse(text, ec);
  try {
    demand(url::parse(text) == parsed && !ec);
  } catch (const std::system_error& e) {
    demand(e.code() == ec && parsed == url());
  }
  if (!ec) {
    check_parts(parsed);
    demand(url::parse(parsed.to_string()) == parsed);
  }
  return parsed;
}

void check_resolved(const url& base, std::string_view text) {
  std::error_code ec;
  const url reference = url::parse(text, ec);
  if (ec) return;
  const url found = base.resolve(reference.to_string(), ec);
  if (ec) {
    demand(found == url());
    return;
  }
  demand(!found.scheme().empty() && found.fragment() == reference.fragment());
  check_parts(found);
  const bool is_own_path =
      !reference.scheme().empty() || reference.has_authority() || !reference.path().empty();
  demand(!is_own_path || !has_dots(found.path()));
  if (!has_dots(found.path())) demand(base.resolve(found.to_string()) == found);
}

/// How many lines the head of a request has.
std::ptrdiff_t lines_of(const net::http::plan& p) {
  const std::string head = p.head("fuzz");
  demand(head.ends_with("\r\n\r\n"));
  return std::count(head.begin(), head.end(), '\n');
}

void check_redirect(const url& base, std::string_view location) {
  if (base.scheme() != "http") return;
  net::http::plan p;
  p.method = "GET";
  p.where = base;
  const std::ptrdiff_t lines = lines_of(p);
  try {
    p.follow(302, location);
  } catch (const std::system_error&) {
    return;
  }
  demand(lines_of(p) == lines);
}

void check_web_socket(std::string_view text) {
  net::websocket::target to;
  try {
    to = net::websocket::parse_url(text);
  } catch (const std::invalid_argument&) {
    return;
  }
  const int port = std::atoi(to.port.c_str());
  demand(port > 0 && port <= 0xffff && !to.host.empty() && to.path.starts_with('/'));
  const std::string request = net::websocket::make_request(to, {}).request;
  constexpr int lines = 7;
  demand(std::count(request.begin(), request.end(), '\n') == lines);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = coir::fuzz::text_of(data, size);
  const std::size_t end = std::min(text.find('\n'), size);
  const std::string_view rest = text.substr(std::min(end + 1, size));
  std::error_code ec;
  const url base = checked_parse(text.substr(0, end), ec);
  if (!ec && !base.scheme().empty()) {
    check_resolved(base, rest);
    check_redirect(base, rest);
  }
  checked_parse(rest, ec);
  check_web_socket(rest);
  return 0;
}
