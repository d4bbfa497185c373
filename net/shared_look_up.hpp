/// Fibers that ask c-ares the same at the same time share one look-up.
#pragma once

#include <coir/detail/clock.hpp>
#include <coir/net/address.hpp>

#include <string>
#include <system_error>
#include <vector>

namespace coir::net::detail {

/// look_up_by_ares(), once for all fibers of all workers that ask for `host` at the same time. One
/// of them asks and the others wait; if that one gives up, another asks. To be called on a worker
/// thread.
std::vector<address> share_look_up(const std::string& host, coir::detail::deadline until,
                                   std::error_code& ec);

}  // namespace coir::net::detail
