#include <coir/net/tcp_listener.hpp>

#include "net/cooperative.hpp"
#include "net/socket_calls.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>

namespace coir::net {

tcp_listener tcp_listener::listen(const address& local, const options& how) {
  std::error_code ec;
  tcp_listener made = listen(local, how, ec);
  if (ec) detail::throw_error(ec, "listen on " + local.to_string());
  return made;
}

tcp_listener tcp_listener::listen(const address& local, const options& how, std::error_code& ec) {
  if (!detail::is_ip_family(local.family())) {
    ec = std::make_error_code(std::errc::address_family_not_supported);
    return {};
  }
  detail::descriptor made = detail::make_socket(local.family(), SOCK_STREAM, ec);
  const int fd = made.get();
  if (!ec) detail::set_option(fd, {SOL_SOCKET, SO_REUSEADDR}, how.reuse_address, ec);
  if (!ec) detail::set_option(fd, {SOL_SOCKET, SO_REUSEPORT}, how.reuse_port, ec);
  if (!ec && local.is_ipv6()) detail::set_option(fd, {IPPROTO_IPV6, IPV6_V6ONLY}, how.v6_only, ec);
  // Linux hands it down to accepted sockets, which saves a system call for each.
  if (!ec) detail::set_option(fd, {IPPROTO_TCP, TCP_NODELAY}, 1, ec);
  if (!ec) detail::bind_to(fd, local, ec);
  if (!ec) detail::listen_on(fd, how.backlog, ec);
  return ec ? tcp_listener() : tcp_listener(made.release());
}

tcp_stream tcp_listener::accept() {
  std::error_code ec;
  tcp_stream accepted = accept(ec);
  if (ec) fail("accept on", ec);
  return accepted;
}

tcp_stream tcp_listener::accept(std::error_code& ec) {
  const int fd = accept_socket(nullptr, ec);
  return ec ? tcp_stream() : tcp_stream(fd);
}

tcp_stream tcp_listener::accept(address& peer) {
  std::error_code ec;
  tcp_stream accepted = accept(peer, ec);
  if (ec) fail("accept on", ec);
  return accepted;
}

tcp_stream tcp_listener::accept(address& peer, std::error_code& ec) {
  const int fd = accept_socket(&peer, ec);
  return ec ? tcp_stream() : tcp_stream(fd);
}

tcp_listener tcp_listener::adopt(int fd) {
  std::error_code ec;
  tcp_listener made = adopt(fd, ec);
  if (ec) detail::throw_error(ec, "adopt descriptor " + std::to_string(fd));
  return made;
}

tcp_listener tcp_listener::adopt(int fd, std::error_code& ec) noexcept {
  prepare_adoption(fd, detail::is_ip_family, ec);
  return ec ? tcp_listener() : tcp_listener(fd);
}

}  // namespace coir::net
