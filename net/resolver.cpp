#include <coir/net/resolver.hpp>

#include "net/cooperative.hpp"
#include "net/resolver_settings.hpp"
#include "net/shared_look_up.hpp"
#include "runtime/io/resolve.hpp"

#include <charconv>
#include <memory>
#include <optional>

namespace coir::net {
namespace {

using answer = std::unique_ptr<addrinfo, void (*)(addrinfo*)>;

bool looks_numeric(std::string_view text) noexcept {
  return !text.empty() && text.find_first_not_of("-0123456789") == text.npos;
}

/// Nothing for the name of a service; getaddrinfo would cut a number that is too large to 16 bits.
std::optional<std::uint16_t> port_number(std::string_view text, std::error_code& ec) noexcept {
  ec.clear();
  if (!looks_numeric(text)) return {};
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error == std::errc() && end == text.data() + text.size()) return port;
  ec = resolve_errc::service_unknown;
  return {};
}

std::string_view without_brackets(std::string_view host) noexcept {
  const bool has_them = host.starts_with('[') && host.ends_with(']');
  return has_them ? host.substr(1, host.size() - 2) : host;
}

/// An empty address when `host` is a name.
address literal(std::string_view host, std::uint16_t port) {
  std::error_code not_that;
  const address v4 = address::ipv4(host, port, not_that);
  return not_that ? address::ipv6(without_brackets(host), port, not_that) : v4;
}

std::vector<address> addresses_of(const addrinfo* list) {
  std::vector<address> all;
  for (const addrinfo* each = list; each; each = each->ai_next) {
    all.push_back(address::from_native(each->ai_addr, each->ai_addrlen));
  }
  return all;
}

std::vector<address> look_up_by_system(const std::string& host, const std::string& port,
                                       coir::detail::deadline until, std::error_code& ec) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;  // else each address comes once for each type
  addrinfo* list = nullptr;
  int error = 0;
  const char* const node = host.empty() ? nullptr : host.c_str();
  const int code = io::getaddrinfo(node, port.c_str(), &hints, &list, &error, until, ::getaddrinfo,
                                   ::freeaddrinfo);
  const answer owned(list, ::freeaddrinfo);
  if (code == EAI_SYSTEM) detail::finish(-error, ec);
  if (code != 0 && code != EAI_SYSTEM) ec = {code, resolve_category()};
  return code == 0 ? addresses_of(list) : std::vector<address>();
}

/// What getaddrinfo says of this machine: no name server is asked for that.
std::uint16_t port_of_service(const std::string& name, coir::detail::deadline until,
                              std::error_code& ec) {
  const std::vector<address> found = look_up_by_system({}, name, until, ec);
  return ec ? 0 : found.front().port();
}

std::vector<address> look_up(const std::string& host, const std::string& port_text,
                             std::optional<std::uint16_t> port, coir::detail::deadline until,
                             std::error_code& ec) {
  const detail::resolver_settings& settings = detail::settings_of_resolver();
  ec = settings.fault;
  if (ec || !detail::ensure_worker(ec)) return {};
  if (!settings.uses_ares || host.empty()) return look_up_by_system(host, port_text, until, ec);
  if (!port) port = port_of_service(port_text, until, ec);
  if (ec) return {};
  const address known = literal(host, *port);
  if (known.size() != 0) return {known};
  std::vector<address> found = detail::share_look_up(host, until, ec);
  for (address& each : found) each = each.with_port(*port);
  return found;
}

}  // namespace

std::vector<address> resolve(std::string_view host, const service& port, time_limit limit) {
  std::error_code ec;
  std::vector<address> found = resolve(host, port, limit, ec);
  if (ec) detail::throw_error(ec, "resolve " + std::string(host) + ':' + port.text());
  return found;
}

std::vector<address> resolve(std::string_view host, const service& port, time_limit limit,
                             std::error_code& ec) {
  const auto number = port_number(port.text(), ec);
  if (ec) return {};
  if (host.find('\0') != host.npos) {
    ec = resolve_errc::host_not_found;
    return {};
  }
  if (number) {
    const address known = literal(host, *number);
    if (known.size() != 0) return {known};
  }
  return look_up(std::string(without_brackets(host)), port.text(), number, limit.until(), ec);
}

std::vector<address> resolve(std::string_view host, const service& port, std::error_code& ec) {
  return resolve(host, port, time_limit(), ec);
}

}  // namespace coir::net
