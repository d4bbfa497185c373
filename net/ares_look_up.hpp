/// Name look-ups by c-ares: COIR_RESOLVER=ares.
#pragma once

#include <coir/detail/clock.hpp>
#include <coir/net/address.hpp>

#include <span>
#include <string>
#include <system_error>
#include <vector>

namespace coir::net::detail {

/// The addresses of `host`, a name, without ports, in the order in which they should be tried.
/// `servers` are asked, or those of /etc/resolv.conf if there are none; /etc/hosts comes first. The
/// fiber itself sends and receives, and parks meanwhile; nothing is left of the look-up when it is
/// over, times out (std::errc::timed_out), or throws for a kill. Other errors are codes of
/// resolve_category. To be called on a worker thread.
std::vector<address> look_up_by_ares(const std::string& host, std::span<const address> servers,
                                     coir::detail::deadline until, std::error_code& ec);

}  // namespace coir::net::detail
