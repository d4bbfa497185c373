#include "net/resolver_settings.hpp"

#include "runtime/kernel/environment.hpp"
#include "runtime/kernel/report.hpp"

#include <cstddef>
#include <string_view>

namespace coir::net::detail {
namespace {

constexpr std::uint16_t domain_port = 53;
// c-ares waits for at most 16 sockets at a time, two for each server
constexpr std::size_t servers_max = 8;

/// With or without a port; an empty address when it is none.
address server_at(std::string_view text) {
  std::error_code ec;
  address found = address::ipv4(text, domain_port, ec);
  if (ec) found = address::ipv6(text, domain_port, ec);
  if (ec && text.starts_with('[') && text.ends_with(']'))
    found = address::ipv6(text.substr(1, text.size() - 2), domain_port, ec);
  if (ec) found = address::parse(text, ec);
  // c-ares knows no scopes
  const bool is_usable = !ec && !found.is_unix() && found.port() != 0 && found.scope_id() == 0;
  return is_usable ? found : address();
}

resolver_settings read() {
  resolver_settings said;
  const char* const resolver = kernel::text_said("COIR_RESOLVER");
  said.uses_ares = resolver && std::string_view(resolver) == "ares";
  if (resolver && !said.uses_ares && std::string_view(resolver) != "thread") {
    kernel::report("COIR_RESOLVER=%s names no resolver: use thread or ares", resolver);
    said.fault = std::make_error_code(std::errc::invalid_argument);
  }
  const char* const servers = kernel::text_said("COIR_NAME_SERVERS");
  if (!said.uses_ares || !servers) return said;
  said.servers = name_servers_in(servers);
  if (said.servers.empty()) {
    kernel::report(
        "COIR_NAME_SERVERS=%s is no list of name servers: use at most %zu addresses like "
        "127.0.0.1:5353,[::1]:53,10.0.0.1",
        servers, servers_max);
    said.fault = std::make_error_code(std::errc::invalid_argument);
  }
  return said;
}

}  // namespace

std::vector<address> name_servers_in(std::string_view list) {
  std::vector<address> found;
  for (;;) {
    const std::size_t comma = list.find(',');
    const address server = server_at(list.substr(0, comma));
    if (server.size() == 0 || found.size() == servers_max) return {};
    found.push_back(server);
    if (comma == list.npos) return found;
    list.remove_prefix(comma + 1);
  }
}

const resolver_settings& settings_of_resolver() {
  static const resolver_settings said = read();
  return said;
}

}  // namespace coir::net::detail
