/// What the environment says about name look-ups.
#pragma once

#include <coir/net/address.hpp>

#include <string_view>
#include <system_error>
#include <vector>

namespace coir::net::detail {

/// Read once, at the first look-up.
struct resolver_settings {
  bool uses_ares = false;        ///< COIR_RESOLVER=ares
  std::vector<address> servers;  ///< COIR_NAME_SERVERS; empty: those of /etc/resolv.conf
  std::error_code fault;         ///< a setting is none; was reported, and look-ups end with this
};

const resolver_settings& settings_of_resolver();

/// The addresses of a list with commas, with port 53 where it says none. Empty when one of them is
/// no address of a name server, or when there are too many.
std::vector<address> name_servers_in(std::string_view list);

}  // namespace coir::net::detail
