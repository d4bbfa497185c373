#include <coir/net/unix_datagram.hpp>

#include "net/cooperative.hpp"
#include "net/socket_calls.hpp"

namespace coir::net {

unix_datagram unix_datagram::bind(const address& local) {
  std::error_code ec;
  unix_datagram made = bind(local, ec);
  if (ec) detail::throw_error(ec, "bind to " + local.to_string());
  return made;
}

unix_datagram unix_datagram::bind(const address& local, std::error_code& ec) noexcept {
  detail::descriptor made = detail::make_socket(AF_UNIX, SOCK_DGRAM, ec);
  if (!ec) detail::bind_to(made.get(), local, ec);
  return ec ? unix_datagram() : unix_datagram(made.release());
}

unix_datagram unix_datagram::unbound() {
  std::error_code ec;
  unix_datagram made = unbound(ec);
  if (ec) detail::throw_error(ec, "make a unix datagram socket");
  return made;
}

unix_datagram unix_datagram::unbound(std::error_code& ec) noexcept {
  return unix_datagram(detail::make_socket(AF_UNIX, SOCK_DGRAM, ec).release());
}

std::pair<unix_datagram, unix_datagram> unix_datagram::pair() {
  std::error_code ec;
  auto made = pair(ec);
  if (ec) detail::throw_error(ec, "make a pair of unix datagram sockets");
  return made;
}

std::pair<unix_datagram, unix_datagram> unix_datagram::pair(std::error_code& ec) noexcept {
  auto [first, second] = detail::make_pair(SOCK_DGRAM, ec);
  return {unix_datagram(first.release()), unix_datagram(second.release())};
}

unix_datagram unix_datagram::adopt(int fd) {
  std::error_code ec;
  unix_datagram made = adopt(fd, ec);
  if (ec) detail::throw_error(ec, "adopt descriptor " + std::to_string(fd));
  return made;
}

unix_datagram unix_datagram::adopt(int fd, std::error_code& ec) noexcept {
  detail::prepare_adoption(fd, SOCK_DGRAM, detail::is_unix_family, ec);
  return ec ? unix_datagram() : unix_datagram(fd);
}

}  // namespace coir::net
