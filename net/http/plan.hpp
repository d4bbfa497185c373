/// What an HTTP client sends, and what redirects make of it.
#pragma once

#include <coir/detail/clock.hpp>
#include <coir/net/http_headers.hpp>
#include <coir/net/url.hpp>

#include <string>
#include <string_view>

namespace coir::net::http {

/// What is to be sent where.
struct plan {
  std::string method;
  url where;
  http_headers headers;
  std::string_view body;  ///< of the caller's http_call
  bool expects_continue = false;
  bool is_upload = false;  ///< the body follows, and its framing is told by `headers`
  coir::detail::deadline until = coir::detail::never;

  /// "GET http://host/path": how errors begin.
  std::string name() const { return method + ' ' + where.to_public_string(); }
  /// The head as it is sent.
  std::string head(const std::string& user_agent) const;
  /// Turns this into the request that a redirect asks for.
  void follow(int status, std::string_view location);
};

}  // namespace coir::net::http
