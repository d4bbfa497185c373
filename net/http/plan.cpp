#include "net/http/plan.hpp"

#include "net/cooperative.hpp"

#include <coir/net/error.hpp>

#include <utility>

namespace coir::net::http {
namespace {

/// Methods whose requests have a body, be it empty: a server may insist on its length.
bool has_body_always(std::string_view method) noexcept {
  return method == "POST" || method == "PUT" || method == "PATCH";
}

}  // namespace

std::string plan::head(const std::string& user_agent) const {
  std::string out = method + ' ' + where.target() + " HTTP/1.1\r\n";
  if (!headers.contains("Host")) out.append("Host: ").append(where.host_and_port()).append("\r\n");
  if (!user_agent.empty() && !headers.contains("User-Agent")) {
    out.append("User-Agent: ").append(user_agent).append("\r\n");
  }
  if (!headers.contains("Accept")) out += "Accept: */*\r\n";
  headers.append_to(out);
  if (is_upload) {
    if (!headers.contains("Content-Length")) out += "Transfer-Encoding: chunked\r\n";
  } else if (!body.empty() || has_body_always(method)) {
    out.append("Content-Length: ").append(std::to_string(body.size())).append("\r\n");
  }
  if (expects_continue && !body.empty()) out += "Expect: 100-continue\r\n";
  return out += "\r\n";
}

void plan::follow(int status, std::string_view location) {
  std::error_code ec;
  url next = where.resolve(location, ec);
  if (ec) {
    detail::throw_error(errc::malformed_answer,
                        name() + ": it leads to no URL (" + ec.message() + ")");
  }
  if (!next.fragment() && where.fragment()) next.set_fragment(*where.fragment());
  const bool is_as_get =
      (status == 303 && method != "HEAD") || ((status == 301 || status == 302) && method == "POST");
  if (is_as_get) {
    method = "GET";
    body = {};
    expects_continue = false;
    for (const char* each : {"Content-Type", "Content-Encoding", "Content-Language",
                             "Content-Location", "Content-Range"}) {
      headers.remove(each);
    }
  }
  if (next.origin() != where.origin()) {
    for (const char* each : {"Authorization", "Cookie", "Proxy-Authorization", "Host"}) {
      headers.remove(each);
    }
  }
  where = std::move(next);
}

}  // namespace coir::net::http
