#include <coir/net/tcp_stream.hpp>

#include "net/cooperative.hpp"
#include "net/socket_calls.hpp"

#include <cstdint>

#include <netinet/in.h>
#include <netinet/tcp.h>

namespace coir::net {
namespace {

using coir::detail::deadline;

/// The part of the time left that one of `addresses_left` addresses may use.
deadline share_of(deadline until, std::size_t addresses_left) noexcept {
  if (until == coir::detail::never) return until;
  const deadline now = coir::detail::now_ns();
  return until <= now ? until : now + (until - now) / static_cast<deadline>(addresses_left);
}

}  // namespace

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

tcp_stream tcp_stream::connect(std::string_view host, const service& port, time_limit limit) {
  std::error_code ec;
  tcp_stream made = connect(host, port, limit, ec);
  if (ec) detail::throw_error(ec, "connect to " + std::string(host) + ':' + port.text());
  return made;
}

tcp_stream tcp_stream::connect(std::string_view host, const service& port, time_limit limit,
                               std::error_code& ec) {
  const std::vector<address> peers = resolve(host, port, limit, ec);
  tcp_stream made;
  for (std::size_t i = 0; i < peers.size(); ++i) {
    made.open_until(peers[i], share_of(limit.until(), peers.size() - i), ec);
    if (!ec) break;
  }
  return made;
}

tcp_stream tcp_stream::connect(std::string_view host, const service& port, std::error_code& ec) {
  return connect(host, port, time_limit(), ec);
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
