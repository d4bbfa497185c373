/// What the servers among the examples have in common.
#pragma once

#include <coir/coir.hpp>
#include <coir/net.hpp>

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

namespace example {

/// The address of an IPv4 or IPv6 host, without brackets. Throws std::system_error.
inline coir::net::address ip_address(const std::string& host, std::uint16_t port) {
  const bool is_v6 = host.find(':') != std::string::npos;
  return is_v6 ? coir::net::address::ipv6(host, port) : coir::net::address::ipv4(host, port);
}

/// Prints a line at once, whoever reads it.
inline void print_line(std::string_view line) {
  std::printf("%.*s\n", static_cast<int>(line.size()), line.data());
  std::fflush(stdout);
}

/// Tells where a server listens, and on which backend.
inline void say_where(const coir::net::address& listening) {
  print_line("listening on " + listening.to_string() + " (" + coir::backend() + ")");
}

}  // namespace example
