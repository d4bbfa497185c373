// Connecting to a host by its name: look it up, then race its addresses.
#include "net/cooperative.hpp"
#include "net/happy_eyeballs.hpp"

#include <coir/net/tcp_stream.hpp>

namespace coir::net {

tcp_stream tcp_stream::connect(std::string_view host, const service& port, time_limit limit) {
  std::error_code ec;
  tcp_stream made = connect(host, port, limit, ec);
  if (ec) detail::throw_error(ec, "connect to " + std::string(host) + ':' + port.text());
  return made;
}

tcp_stream tcp_stream::connect(std::string_view host, const service& port, time_limit limit,
                               std::error_code& ec) {
  const std::vector<address> peers = resolve(host, port, limit, ec);
  if (ec) return {};
  detail::descriptor connected = detail::connect_to_first(peers, limit.until(), ec);
  if (ec) return {};
  tcp_stream made(connected.release());
  std::error_code ignored;  // what a connection lost by now tells, its first use tells too
  made.set_no_delay(true, ignored);
  return made;
}

tcp_stream tcp_stream::connect(std::string_view host, const service& port, std::error_code& ec) {
  return connect(host, port, time_limit(), ec);
}

}  // namespace coir::net
