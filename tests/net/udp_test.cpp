#include "tests/net/support.hpp"

#include <array>

#include <net/if.h>
#include <netinet/in.h>

namespace coir::net::test {
namespace {

udp_socket loopback_socket() {
  udp_socket made = udp_socket::bind(address::ipv4_loopback());
  made.reads_expire_after(patience);
  return made;
}

std::string receive_text(udp_socket& s) {
  std::array<char, 256> bytes;
  return {bytes.data(), s.receive(bytes).size};
}

TEST(udp_socket, datagrams_go_to_an_address_and_back) {
  udp_socket server = loopback_socket();
  udp_socket client = loopback_socket();
  EXPECT_EQ(8u, client.send_to("question", server.local_address()));
  std::array<char, 64> bytes;
  address from;
  const received got = server.receive_from(bytes, from);
  EXPECT_EQ("question", std::string(bytes.data(), got.size));
  EXPECT_EQ(client.local_address(), from);
  server.send_to("answer", from);
  EXPECT_EQ("answer", receive_text(client));
}

TEST(udp_socket, datagrams_go_over_ipv6) {
  udp_socket server = udp_socket::bind(address::ipv6_loopback());
  server.expires_after(patience);
  udp_socket client = udp_socket::connected_to(server.local_address());
  client.send("six");
  std::array<char, 64> bytes;
  address from;
  EXPECT_EQ(3u, server.receive_from(bytes, from).size);
  EXPECT_EQ(client.local_address(), from);
}

TEST(udp_socket, connected_socket_has_one_peer) {
  udp_socket server = loopback_socket();
  udp_socket client = udp_socket::connected_to(server.local_address());
  client.reads_expire_after(patience);
  EXPECT_EQ(server.local_address(), client.peer_address());
  udp_socket stranger = loopback_socket();
  stranger.send_to("not for you", client.local_address());
  server.send_to("for you", client.local_address());
  EXPECT_EQ("for you", receive_text(client));
}

TEST(udp_socket, connect_fixes_the_peer_of_a_bound_socket) {
  udp_socket server = loopback_socket();
  udp_socket client = loopback_socket();
  EXPECT_EQ(std::errc::not_connected, thrown_by([&] { client.peer_address(); }));
  client.connect(server.local_address());
  client.send("hi");
  EXPECT_EQ("hi", receive_text(server));
}

TEST(udp_socket, datagram_that_does_not_fit_is_told_as_truncated) {
  udp_socket server = loopback_socket();
  udp_socket client = loopback_socket();
  client.send_to("0123456789", server.local_address());
  std::array<char, 4> bytes;
  address from;
  received got = server.receive_from(bytes, from);
  EXPECT_TRUE(got.is_truncated());
  EXPECT_EQ(4u, got.size);
  EXPECT_EQ(10u, got.full_size);
  EXPECT_EQ("0123", std::string(bytes.data(), got.size));
  client.send_to("4567", server.local_address());  // the rest of the first is gone
  got = server.receive(bytes);
  EXPECT_FALSE(got.is_truncated());
  EXPECT_EQ("4567", std::string(bytes.data(), got.size));
}

TEST(udp_socket, empty_datagram_is_a_datagram) {
  udp_socket server = loopback_socket();
  udp_socket client = loopback_socket();
  client.send_to("", server.local_address());
  std::array<char, 4> bytes;
  address from;
  EXPECT_EQ(0u, server.receive_from(bytes, from).full_size);
  EXPECT_EQ(client.local_address(), from);
}

TEST(udp_socket, datagram_that_is_too_long_is_an_error) {
  udp_socket client = loopback_socket();
  EXPECT_EQ(std::errc::message_size,
            thrown_by([&] { client.send_to(std::string(70'000, 'x'), client.local_address()); }));
}

TEST(udp_socket, receiver_waits_for_a_datagram) {
  udp_socket server = loopback_socket();
  auto receiving = spawn([&] { return receive_text(server); });
  this_fiber::yield();
  EXPECT_FALSE(receiving.ready());
  udp_socket client = loopback_socket();
  client.send_to("now", server.local_address());
  EXPECT_EQ("now", receiving.get_for(patience));
}

TEST(udp_socket, each_waiting_fiber_gets_a_datagram) {
  udp_socket server = loopback_socket();
  std::vector<fiber<std::string>> receiving;
  for (int i = 0; i < 5; ++i) receiving.push_back(spawn([&] { return receive_text(server); }));
  this_fiber::yield();
  udp_socket client = loopback_socket();
  for (int i = 0; i < 5; ++i) client.send_to("x", server.local_address());
  for (auto& each : receiving) EXPECT_EQ("x", each.get_for(patience));
}

TEST(udp_socket, receive_ends_at_its_deadline) {
  udp_socket server = loopback_socket();
  const stopwatch since;
  server.expires_after(200ms);
  EXPECT_EQ(std::errc::timed_out, thrown_by([&] { receive_text(server); }));
  expect_lasted(since, 200ms);
}

TEST(udp_socket, close_while_another_fiber_receives_gives_it_ebadf_promptly) {
  udp_socket server = loopback_socket();
  auto receiving = spawn([&] { return thrown_by([&] { receive_text(server); }); });
  this_fiber::yield();
  const stopwatch since;
  server.close();
  EXPECT_EQ(std::errc::bad_file_descriptor, receiving.get_for(patience));
  EXPECT_LT(since.elapsed(), promptly);
}

TEST(udp_socket, killed_receiver_loses_no_datagram) {
  udp_socket server = loopback_socket();
  auto receiving = spawn([&] { receive_text(server); });
  this_fiber::yield();
  receiving.kill();
  udp_socket client = loopback_socket();
  client.send_to("next", server.local_address());
  EXPECT_EQ("next", receive_text(server));
}

TEST(udp_socket, refusal_of_an_earlier_datagram_is_told_to_a_connected_socket) {
  address nobody;
  {
    const udp_socket gone = loopback_socket();
    nobody = gone.local_address();
  }
  udp_socket client = udp_socket::connected_to(nobody);
  client.expires_after(patience);
  client.send("anybody?");
  EXPECT_EQ(std::errc::connection_refused, thrown_by([&] { receive_text(client); }));
}

TEST(udp_socket, broadcast_must_be_allowed_first) {
  udp_socket sender = udp_socket::bind(address::ipv4_any());
  const address everybody = address::parse("127.255.255.255:9");
  EXPECT_EQ("send to 127.255.255.255:9: Permission denied",
            text_thrown_by([&] { sender.send_to("x", everybody); }));
  sender.set_broadcast(true);
  EXPECT_EQ(1u, sender.send_to("x", everybody));
}

TEST(udp_socket, broadcast_reaches_every_socket_of_its_port) {
  udp_socket::options how;
  how.reuse_address = true;
  udp_socket first = udp_socket::bind(address::ipv4_any(), how);
  udp_socket second = udp_socket::bind(first.local_address(), how);
  first.reads_expire_after(patience);
  second.reads_expire_after(patience);
  udp_socket sender = loopback_socket();
  sender.set_broadcast(true);
  const std::uint16_t port = first.local_address().port();
  sender.send_to("to all", address::ipv4("127.255.255.255", port));
  EXPECT_EQ("to all", receive_text(first));
  EXPECT_EQ("to all", receive_text(second));
}

TEST(udp_socket, multicast_reaches_members_of_the_group_only) {
  const unsigned loopback = if_nametoindex("lo");
  const address group = address::ipv4("239.1.2.3", 0);
  udp_socket member = udp_socket::bind(address::ipv4_any());
  udp_socket sender = udp_socket::bind(address::ipv4_any());
  sender.set_multicast_interface(loopback);
  const address where = group.with_port(member.local_address().port());
  member.join(group, loopback);
  sender.send_to("to members", where);
  member.reads_expire_after(patience);
  EXPECT_EQ("to members", receive_text(member));
  member.leave(group, loopback);
  sender.send_to("to nobody", where);
  member.reads_expire_after(50ms);
  EXPECT_EQ(std::errc::timed_out, thrown_by([&] { receive_text(member); }));
}

// No IPv6 multicast can be sent where only the loopback interface is there, so that this one asks
// the kernel's books.
TEST(udp_socket, membership_of_an_ipv6_group_is_known_to_the_kernel) {
  const unsigned loopback = if_nametoindex("lo");
  const address group = address::ipv6("ff01::123", 0);
  udp_socket s = udp_socket::bind(address::ipv6_any());
  s.join(group, loopback);
  EXPECT_EQ(std::errc::address_in_use, thrown_by([&] { s.join(group, loopback); }));
  s.leave(group, loopback);
  EXPECT_EQ(std::errc::address_not_available, thrown_by([&] { s.leave(group, loopback); }));
}

int int_option(const udp_socket& s, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  EXPECT_EQ(0, getsockopt(s.native_handle(), level, name, &value, &size));
  return value;
}

TEST(udp_socket, multicast_settings_are_those_of_the_family) {
  const unsigned loopback = if_nametoindex("lo");
  udp_socket v4 = udp_socket::bind(address::ipv4_any());
  v4.set_multicast_hops(3);
  EXPECT_EQ(3, int_option(v4, IPPROTO_IP, IP_MULTICAST_TTL));
  udp_socket v6 = udp_socket::bind(address::ipv6_any());
  v6.set_multicast_hops(4);
  EXPECT_EQ(4, int_option(v6, IPPROTO_IPV6, IPV6_MULTICAST_HOPS));
  v6.set_multicast_interface(loopback);
  EXPECT_EQ(static_cast<int>(loopback), int_option(v6, IPPROTO_IPV6, IPV6_MULTICAST_IF));
}

TEST(udp_socket, membership_of_no_group_is_an_error) {
  udp_socket s = loopback_socket();
  EXPECT_EQ("join 127.0.0.1: Invalid argument",
            text_thrown_by([&] { s.join(address::ipv4_loopback()); }));
  EXPECT_TRUE(thrown_by([&] { s.leave(address::ipv4("239.1.2.3", 0)); }));
}

TEST(udp_socket, sockets_may_share_a_port) {
  udp_socket::options how;
  how.reuse_port = true;
  const udp_socket first = udp_socket::bind(address::ipv4_loopback(), how);
  EXPECT_TRUE(udp_socket::bind(first.local_address(), how).is_open());
}

TEST(udp_socket, port_in_use_says_what_was_attempted) {
  const udp_socket first = loopback_socket();
  EXPECT_EQ("bind to " + first.local_address().to_string() + ": Address already in use",
            text_thrown_by([&] { udp_socket::bind(first.local_address()); }));
}

TEST(udp_socket, closed_and_empty_sockets_answer_ebadf) {
  udp_socket closed = loopback_socket();
  closed.close();
  closed.close();
  udp_socket empty;
  for (udp_socket* each : {&closed, &empty}) {
    EXPECT_EQ(std::errc::bad_file_descriptor, thrown_by([&] { receive_text(*each); }));
    EXPECT_EQ(std::errc::bad_file_descriptor, thrown_by([&] { each->send("x"); }));
    EXPECT_EQ(std::errc::bad_file_descriptor, thrown_by([&] { each->set_broadcast(true); }));
  }
}

TEST(udp_socket, released_descriptor_can_be_adopted) {
  udp_socket first = loopback_socket();
  const address where = first.local_address();
  udp_socket second = udp_socket::adopt(first.release());
  EXPECT_FALSE(first.is_open());
  EXPECT_EQ(where, second.local_address());
  tcp_listener wrong = tcp_listener::listen(address::ipv4_loopback());
  EXPECT_EQ(std::errc::wrong_protocol_type,
            thrown_by([&] { udp_socket::adopt(wrong.native_handle()); }));
}

}  // namespace
}  // namespace coir::net::test
