#include <coir/net/udp_socket.hpp>

#include "net/cooperative.hpp"
#include "net/socket_calls.hpp"

#include <cstring>

#include <net/if.h>
#include <netinet/in.h>

namespace coir::net {
namespace {

/// The option of that purpose in the family of `local`.
detail::option_name by_family(const address& local, int ipv4_name, int ipv6_name) noexcept {
  if (local.is_ipv6()) return {IPPROTO_IPV6, ipv6_name};
  return {IPPROTO_IP, ipv4_name};
}

void change_membership(int fd, int what, const address& group, unsigned interface_index,
                       std::error_code& ec) noexcept {
  group_req request{};
  request.gr_interface = interface_index;
  std::memcpy(&request.gr_group, group.data(), group.size());
  detail::set_option(fd, {by_family(group, 0, 0).level, what}, &request, sizeof request, ec);
}

}  // namespace

udp_socket udp_socket::bind(const address& local, const options& how) {
  std::error_code ec;
  udp_socket made = bind(local, how, ec);
  if (ec) detail::throw_error(ec, "bind to " + local.to_string());
  return made;
}

udp_socket udp_socket::bind(const address& local, const options& how,
                            std::error_code& ec) noexcept {
  if (!detail::is_ip_family(local.family())) {
    ec = std::make_error_code(std::errc::address_family_not_supported);
    return {};
  }
  detail::descriptor made = detail::make_socket(local.family(), SOCK_DGRAM, ec);
  const int fd = made.get();
  if (!ec) detail::set_option(fd, {SOL_SOCKET, SO_REUSEADDR}, how.reuse_address, ec);
  if (!ec) detail::set_option(fd, {SOL_SOCKET, SO_REUSEPORT}, how.reuse_port, ec);
  if (!ec && local.is_ipv6()) detail::set_option(fd, {IPPROTO_IPV6, IPV6_V6ONLY}, how.v6_only, ec);
  if (!ec) detail::bind_to(fd, local, ec);
  return ec ? udp_socket() : udp_socket(made.release());
}

udp_socket udp_socket::connected_to(const address& peer) {
  std::error_code ec;
  udp_socket made = connected_to(peer, ec);
  if (ec) detail::throw_error(ec, "connect to " + peer.to_string());
  return made;
}

udp_socket udp_socket::connected_to(const address& peer, std::error_code& ec) noexcept {
  if (!detail::is_ip_family(peer.family())) {
    ec = std::make_error_code(std::errc::address_family_not_supported);
    return {};
  }
  detail::descriptor made = detail::make_socket(peer.family(), SOCK_DGRAM, ec);
  if (!ec) detail::connect_now(made.get(), peer, ec);
  return ec ? udp_socket() : udp_socket(made.release());
}

udp_socket udp_socket::adopt(int fd) {
  std::error_code ec;
  udp_socket made = adopt(fd, ec);
  if (ec) detail::throw_error(ec, "adopt descriptor " + std::to_string(fd));
  return made;
}

udp_socket udp_socket::adopt(int fd, std::error_code& ec) noexcept {
  detail::prepare_adoption(fd, SOCK_DGRAM, detail::is_ip_family, ec);
  return ec ? udp_socket() : udp_socket(fd);
}

void udp_socket::set_broadcast(bool on) {
  std::error_code ec;
  set_broadcast(on, ec);
  if (ec) fail("set SO_BROADCAST of", ec);
}

void udp_socket::set_broadcast(bool on, std::error_code& ec) noexcept {
  detail::set_option(native_handle(), {SOL_SOCKET, SO_BROADCAST}, on, ec);
}

void udp_socket::join(const address& group, unsigned interface_index) {
  std::error_code ec;
  join(group, interface_index, ec);
  if (ec) detail::throw_error(ec, "join " + group.host());
}

void udp_socket::join(const address& group, unsigned interface_index,
                      std::error_code& ec) noexcept {
  change_membership(native_handle(), MCAST_JOIN_GROUP, group, interface_index, ec);
}

void udp_socket::leave(const address& group, unsigned interface_index) {
  std::error_code ec;
  leave(group, interface_index, ec);
  if (ec) detail::throw_error(ec, "leave " + group.host());
}

void udp_socket::leave(const address& group, unsigned interface_index,
                       std::error_code& ec) noexcept {
  change_membership(native_handle(), MCAST_LEAVE_GROUP, group, interface_index, ec);
}

void udp_socket::set_multicast_interface(unsigned interface_index) {
  std::error_code ec;
  set_multicast_interface(interface_index, ec);
  if (ec) fail("set multicast interface of", ec);
}

void udp_socket::set_multicast_interface(unsigned interface_index, std::error_code& ec) noexcept {
  const address local = local_address(ec);
  if (ec) return;
  const detail::option_name option = by_family(local, IP_MULTICAST_IF, IPV6_MULTICAST_IF);
  const int index = static_cast<int>(interface_index);
  ip_mreqn request{};
  request.imr_ifindex = index;
  if (local.is_ipv6()) {
    detail::set_option(native_handle(), option, index, ec);
  } else {
    detail::set_option(native_handle(), option, &request, sizeof request, ec);
  }
}

void udp_socket::set_multicast_hops(int hops) {
  std::error_code ec;
  set_multicast_hops(hops, ec);
  if (ec) fail("set multicast hops of", ec);
}

void udp_socket::set_multicast_hops(int hops, std::error_code& ec) noexcept {
  const address local = local_address(ec);
  if (ec) return;
  detail::set_option(native_handle(), by_family(local, IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS), hops,
                     ec);
}

}  // namespace coir::net
