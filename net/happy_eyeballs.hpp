/// Connecting to a host that has several addresses: RFC 8305.
#pragma once

#include "net/socket_calls.hpp"

#include <coir/detail/clock.hpp>
#include <coir/net/address.hpp>

#include <span>
#include <system_error>

namespace coir::net::detail {

/// A TCP socket connected to the first of `peers` that accepts; parks until one has, or all have
/// failed. Families take turns, beginning with that of the first peer. Errors as
/// tcp_stream::connect(host) says; throws for a kill. To be called on a worker thread.
descriptor connect_to_first(std::span<const address> peers, coir::detail::deadline until,
                            std::error_code& ec);

}  // namespace coir::net::detail
