// Addresses as text, as lists of name servers, and as the kernel hands them over. Checked beside
// crashes: an address's text is the text of the same address.
#include "net/resolver_settings.hpp"
#include "tests/fuzz/support.hpp"

#include <coir/net/address.hpp>

#include <cstdint>
#include <cstring>
#include <functional>
#include <string>

#include <sys/socket.h>

namespace {

namespace net = coir::net;
using coir::fuzz::demand;
using net::address;

void check_same(const address& one, const address& other) {
  demand(one == other && !(one < other) && !(other < one));
  demand(std::hash<address>()(one) == std::hash<address>()(other));
}

void check_text(std::string_view text) {
  std::error_code ec;
  const address parsed = address::parse(text, ec);
  if (ec) {
    demand(parsed == address());
    return;
  }
  check_same(address::parse(parsed.to_string()), parsed);
  check_same(address::from_native(parsed.data(), parsed.size()), parsed);
  if (parsed.is_unix()) return;
  demand(parsed.with_port(1).port() == 1);
  check_same(parsed.with_port(1).with_port(parsed.port()), parsed);
  const address by_parts = parsed.is_ipv4() ? address::ipv4(parsed.host(), parsed.port())
                                            : address::ipv6(parsed.host(), parsed.port());
  check_same(by_parts, parsed);
}

void check_servers(std::string_view list) {
  constexpr std::size_t servers_max = 8;
  const auto servers = net::detail::name_servers_in(list);
  demand(servers.size() <= servers_max);
  std::string again;
  for (const address& each : servers) {
    demand(!each.is_unix() && each.port() != 0 && each.scope_id() == 0);
    again += (again.empty() ? "" : ",") + each.to_string();
  }
  demand(servers.empty() || net::detail::name_servers_in(again) == servers);
}

void check_native(std::string_view bytes) {
  sockaddr_storage storage{};
  const std::size_t size = std::min(bytes.size(), sizeof storage);
  std::memcpy(&storage, bytes.data(), size);
  const address taken = address::from_native(reinterpret_cast<const sockaddr*>(&storage),
                                             static_cast<socklen_t>(size));
  (void)taken.to_string();
  (void)taken.with_port(80);
  check_same(taken, taken);
  demand(taken.path().size() <= size);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = coir::fuzz::text_of(data, size);
  check_text(text);
  check_servers(text);
  check_native(text);
  return 0;
}
