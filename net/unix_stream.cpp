#include <coir/net/unix_stream.hpp>

#include "net/cooperative.hpp"
#include "net/socket_calls.hpp"

namespace coir::net {

unix_stream unix_stream::connect(const address& peer, time_limit limit) {
  std::error_code ec;
  unix_stream made = connect(peer, limit, ec);
  if (ec) detail::throw_error(ec, "connect to " + peer.to_string());
  return made;
}

unix_stream unix_stream::connect(const address& peer, time_limit limit, std::error_code& ec) {
  unix_stream made;
  made.open_until(peer, limit.until(), ec);
  return made;
}

unix_stream unix_stream::connect(const address& peer, std::error_code& ec) {
  return connect(peer, time_limit(), ec);
}

void unix_stream::open(const address& peer) {
  std::error_code ec;
  open(peer, ec);
  if (ec) detail::throw_error(ec, "connect to " + peer.to_string());
}

void unix_stream::open(const address& peer, std::error_code& ec) {
  open_until(peer, write_until(), ec);
}

void unix_stream::open_until(const address& peer, coir::detail::deadline until,
                             std::error_code& ec) {
  if (peer.is_unix()) {
    open_socket(peer, until, ec);
  } else {
    ec = std::make_error_code(std::errc::address_family_not_supported);
  }
}

std::pair<unix_stream, unix_stream> unix_stream::pair() {
  std::error_code ec;
  auto made = pair(ec);
  if (ec) detail::throw_error(ec, "make a pair of unix streams");
  return made;
}

std::pair<unix_stream, unix_stream> unix_stream::pair(std::error_code& ec) {
  auto [first, second] = detail::make_pair(SOCK_STREAM, ec);
  if (ec) return {};
  unix_stream one(first.release());
  return {std::move(one), unix_stream(second.release())};
}

unix_stream unix_stream::adopt(int fd) {
  std::error_code ec;
  unix_stream made = adopt(fd, ec);
  if (ec) detail::throw_error(ec, "adopt descriptor " + std::to_string(fd));
  return made;
}

unix_stream unix_stream::adopt(int fd, std::error_code& ec) {
  prepare_adoption(fd, detail::is_unix_family, ec);
  return ec ? unix_stream() : unix_stream(fd);
}

}  // namespace coir::net
