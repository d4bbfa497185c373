#include <coir/net/tcp_stream.hpp>

#include "net/cooperative.hpp"
#include "net/socket_calls.hpp"

#include <cstdint>

#include <netinet/in.h>
#include <netinet/tcp.h>

namespace coir::net {

using coir::detail::deadline;

tcp_stream tcp_stream::connect(const address& peer, time_limit limit) {
  std::error_code ec;
  tcp_stream made = connect(peer, limit, ec);
  if (ec) detail::throw_error(ec, "connect to " + peer.to_string());
  return made;
}

tcp_stream tcp_stream::connect(const address& peer, time_limit limit, std::error_code& ec) {
  tcp_stream made;
  made.open_until(peer, limit.until(), ec);
  return made;
}

tcp_stream tcp_stream::connect(const address& peer, std::error_code& ec) {
  return connect(peer, time_limit(), ec);
}

void tcp_stream::open(const address& peer) {
  std::error_code ec;
  open(peer, ec);
  if (ec) detail::throw_error(ec, "connect to " + peer.to_string());
}

void tcp_stream::open(const address& peer, std::error_code& ec) {
  open_until(peer, write_until(), ec);
}

void tcp_stream::open_until(const address& peer, deadline until, std::error_code& ec) {
  if (!detail::is_ip_family(peer.family())) {
    ec = std::make_error_code(std::errc::address_family_not_supported);
    return;
  }
  open_socket(peer, until, ec);
  std::error_code ignored;  // what a connection lost by now tells, its first use tells too
  if (!ec) set_no_delay(true, ignored);
}

tcp_stream tcp_stream::adopt(int fd) {
  std::error_code ec;
  tcp_stream made = adopt(fd, ec);
  if (ec) detail::throw_error(ec, "adopt descriptor " + std::to_string(fd));
  return made;
}

tcp_stream tcp_stream::adopt(int fd, std::error_code& ec) {
  prepare_adoption(fd, detail::is_ip_family, ec);
  return ec ? tcp_stream() : tcp_stream(fd);
}

void tcp_stream::set_no_delay(bool on) {
  std::error_code ec;
  set_no_delay(on, ec);
  if (ec) fail("set TCP_NODELAY of connection to", ec);
}

void tcp_stream::set_no_delay(bool on, std::error_code& ec) noexcept {
  detail::set_option(native_handle(), {IPPROTO_TCP, TCP_NODELAY}, on, ec);
}

void tcp_stream::set_keep_alive(bool on) {
  std::error_code ec;
  set_keep_alive(on, ec);
  if (ec) fail("set SO_KEEPALIVE of connection to", ec);
}

void tcp_stream::set_keep_alive(bool on, std::error_code& ec) noexcept {
  detail::set_option(native_handle(), {SOL_SOCKET, SO_KEEPALIVE}, on, ec);
}

}  // namespace coir::net
