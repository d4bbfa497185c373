#include "net/http/client_core.hpp"

#include "net/cooperative.hpp"
#include "net/deadlines.hpp"
#include "net/http/text.hpp"

#include <coir/net/error.hpp>
#include <coir/net/tls_stream.hpp>
#include <coir/net/uri.hpp>

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <utility>

namespace coir::net::http {
namespace {

using coir::detail::deadline;

/// Never inlined: a fiber may be on another thread after it has parked, and compilers keep the
/// address of a thread-local.
[[gnu::noinline]] const void* this_worker() noexcept {
  static thread_local char place;
  const void* found = &place;
  return found;
}

std::shared_ptr<const client_settings> settings_of(http_client::options how) {
  constexpr std::size_t shortest_head = sizeof "HTTP/1.1 200 \r\n\r\n";
  constexpr std::size_t longest_head = 1 << 30;
  if (how.header_bytes_max < shortest_head || how.header_bytes_max > longest_head ||
      how.header_fields_max == 0) {
    throw std::invalid_argument("the limits of an HTTP client let no answer's head pass, or any");
  }
  if (how.connections_per_host_max == 0 || how.connections_per_host_max > PTRDIFF_MAX) {
    throw std::invalid_argument("an HTTP client must be allowed a connection to a host");
  }
  if (!is_field_value(how.user_agent)) {
    throw std::invalid_argument("the user agent of an HTTP client holds a control character");
  }
  return std::make_shared<const client_settings>(std::move(how));
}

[[noreturn]] void refuse(const plan& p, const char* why) {
  detail::throw_error(std::make_error_code(std::errc::invalid_argument), p.name() + ": " + why);
}

std::string base64(std::string_view bytes) {
  constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      group = group << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      out += i + k > bytes.size() ? '=' : digits[group >> (18 - 6 * k) & 63];
    }
  }
  return out;
}

/// The user and password of a URL become a header field (RFC 7617), unless the caller sends one.
void take_credentials(plan& p) {
  const std::optional<std::string> userinfo = p.where.userinfo();
  p.where.set_userinfo(std::nullopt);
  if (!userinfo || userinfo->empty()) return;
  std::string decoded = percent_decoded(*userinfo).value_or(*userinfo);
  if (userinfo->find(':') == std::string::npos) decoded += ':';
  if (!p.headers.contains("Authorization")) {
    p.headers.add("Authorization", "Basic " + base64(decoded));
  }
}

bool is_redirect(const answer_head& head) noexcept {
  switch (head.status) {
    case 301:
    case 302:
    case 303:
    case 307:
    case 308:
      return head.headers.contains("Location");
    default:
      return false;
  }
}

}  // namespace

client_core::client_core(http_client::options how)
    : settings_(settings_of(std::move(how))),
      options_(settings_->options),
      pool_(std::make_shared<connection_pool>(
          connection_pool::limits{options_.connections_per_host_max, options_.idle_connections_max,
                                  options_.idle_timeout})) {}

void client_core::expect_own_worker() {
  const void* const here = this_worker();
  if (!worker_) worker_ = here;
  if (worker_ != here) {
    throw std::logic_error(
        "this HTTP client belongs to another worker, that of its first call: use one for each");
  }
}

plan client_core::plan_of(const http_call& call) const {
  plan p;
  p.method = call.method;
  p.until = std::min(call.limit.until(), coir::detail::deadline_after(options_.total_timeout));
  p.where = url::parse(call.url);
  if (!is_token(p.method)) refuse(p, "the method must be a token");
  if (p.method == "CONNECT") refuse(p, "CONNECT is for proxies");
  if (p.where.host().empty()) {
    detail::throw_error(errc::scheme_not_supported,
                        p.name() + ": a URL for a request begins with http://HOST");
  }
  p.headers = call.headers;
  for (const http_headers::field each : options_.headers) {
    if (!call.headers.contains(each.name)) p.headers.add(each.name, each.value);
  }
  if (p.headers.contains("Transfer-Encoding")) refuse(p, "the Transfer-Encoding is the client's");
  if (p.headers.contains("Expect")) refuse(p, "set expects_continue in the place of Expect");
  if (p.headers.count("Host") > 1) refuse(p, "it has two Hosts");
  p.body = call.body;
  p.expects_continue = call.expects_continue;
  take_credentials(p);
  return p;
}

std::unique_ptr<exchange> client_core::open(const http_call& call) {
  expect_own_worker();
  plan p = plan_of(call);
  p.headers.remove("Content-Length");  // that of the body is sent
  const std::string asked = p.name();
  for (unsigned redirects = 0;; ++redirects) {
    std::unique_ptr<exchange> answered = ask(p);
    if (options_.redirects_max == 0 || !is_redirect(answered->head())) return answered;
    if (redirects == options_.redirects_max) {
      detail::throw_error(errc::too_many_redirects,
                          asked + ": more than " + std::to_string(redirects) + ", the last to " +
                              std::string(answered->head().headers.get("Location")));
    }
    p.follow(answered->head().status, answered->head().headers.get("Location"));
    take_credentials(p);
    answered->skip_short_body();
  }
}

std::unique_ptr<exchange> client_core::upload(const http_call& call) {
  expect_own_worker();
  plan p = plan_of(call);
  p.is_upload = true;
  if (!call.body.empty() || call.expects_continue) {
    refuse(p, "the body of an upload is written, and not asked for");
  }
  if (p.headers.count("Content-Length") > 1) refuse(p, "it has two lengths");
  return start(p, connection_pool::wanted::unused);
}

/// Sends the request, a second time if the first connection turns out to be dead.
std::unique_ptr<exchange> client_core::ask(const plan& what) {
  using wanted = connection_pool::wanted;
  for (bool is_second = false;; is_second = true) {
    std::unique_ptr<exchange> started;
    try {
      started = start(what, is_second ? wanted::after_loss : wanted::any);
      started->await_answer();
      return started;
    } catch (const std::system_error&) {
      if (is_second || !started || !started->may_be_repeated()) throw;
    }
  }
}

std::unique_ptr<exchange> client_core::start(const plan& what, connection_pool::wanted on) {
  auto made = std::make_unique<exchange>(settings_, connect(what, on), what);
  made->send(what.head(options_.user_agent), what.body, what.expects_continue);
  return made;
}

connection_pool::lease client_core::connect(const plan& what, connection_pool::wanted which) {
  std::error_code ec;
  if (!detail::ensure_worker(ec)) detail::throw_error(ec, what.name());
  connection_pool::lease taken = pool_->take(what.where.origin(), which, what.until, ec);
  if (ec) {
    detail::throw_error(ec, what.name() + ": wait for one of " +
                                std::to_string(options_.connections_per_host_max) +
                                " connections to " + what.where.host_and_port());
  }
  if (taken) return taken;
  const deadline until =
      std::min(what.until, coir::detail::deadline_after(options_.connect_timeout));
  std::unique_ptr<stream> opened = open_connection(what.where, detail::limit_of(until), ec);
  if (!ec && !opened) ec = std::make_error_code(std::errc::not_connected);
  if (ec) {
    detail::throw_error(ec, what.name() + ": connect to " + what.where.host_and_port());
  }
  taken.hold(std::move(opened));
  return taken;
}

std::unique_ptr<stream> client_core::open_connection(const url& where, time_limit limit,
                                                     std::error_code& ec) const {
  if (options_.connect) return options_.connect(where, limit, ec);
  if (where.scheme() != "https") return http_client::connect_tcp(where, limit, ec);
  auto opened = std::make_unique<tls_stream>(
      options_.tls
          ? tls_stream::connect(where.host(), where.effective_port(), *options_.tls, limit, ec)
          : tls_stream::connect(where.host(), where.effective_port(), limit, ec));
  if (ec) return nullptr;
  return opened;
}

}  // namespace coir::net::http
