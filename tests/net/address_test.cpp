#include "tests/net/support.hpp"

#include <functional>
#include <set>

#include <netinet/in.h>
#include <sys/un.h>

namespace coir::net::test {
namespace {

TEST(address, literals_survive_a_round_trip) {
  for (const char* text : {"127.0.0.1:80", "0.0.0.0:0", "255.255.255.255:65535", "[::1]:80",
                           "[2001:db8::7]:443", "[fe80::1%1]:9", "[::ffff:1.2.3.4]:5",
                           "unix:/run/x.sock", "unix:relative", "unix:@abstract"}) {
    EXPECT_EQ(text, address::parse(text).to_string());
  }
}

TEST(address, parts_of_an_ipv4_literal_are_told) {
  const address a = address::parse("10.1.2.3:8080");
  EXPECT_TRUE(a.is_ipv4());
  EXPECT_EQ(AF_INET, a.family());
  EXPECT_EQ("10.1.2.3", a.host());
  EXPECT_EQ(8080, a.port());
  EXPECT_EQ(sizeof(sockaddr_in), a.size());
}

TEST(address, scope_is_an_index_or_the_name_of_an_interface) {
  EXPECT_EQ(7u, address::parse("[fe80::1%7]:80").scope_id());
  EXPECT_EQ(address::parse("[fe80::1%lo]:80"), address::parse("[fe80::1%1]:80"));
  EXPECT_EQ(0u, address::parse("[fe80::1]:80").scope_id());
}

TEST(address, bad_literals_are_errors) {
  for (const char* text : {"",
                           "127.0.0.1",
                           "127.0.0.1:",
                           "127.0.0.1:65536",
                           "127.0.0.1:-1",
                           "127.0.0.1:8o",
                           "127.0.0.1: 80",
                           "127.0.0:80",
                           "1.2.3.4.5:80",
                           "256.0.0.1:80",
                           "::1:80",
                           "[::1]",
                           "[::1]80",
                           "[::1:80",
                           "[127.0.0.1]:80",
                           "[fe80::1%nosuchinterface]:80",
                           "[fe80::1%]:80",
                           "[fe80::1%0]:80",
                           "localhost:80",
                           "unix:",
                           "unix:@"}) {
    std::error_code ec;
    EXPECT_EQ(address(), address::parse(text, ec)) << text;
    EXPECT_EQ(std::errc::invalid_argument, ec) << text;
  }
}

TEST(address, the_exception_names_the_text) {
  EXPECT_EQ("address \"nonsense\": Invalid argument",
            text_thrown_by([] { address::parse("nonsense"); }));
}

TEST(address, text_with_a_nul_is_no_address) {
  using namespace std::string_view_literals;
  std::error_code ec;
  address::ipv4("127.0.0.1\0.5"sv, 1, ec);
  EXPECT_EQ(std::errc::invalid_argument, ec);
  address::unix_path("/run/a\0b"sv, ec);
  EXPECT_EQ(std::errc::invalid_argument, ec);
}

TEST(address, unix_path_has_at_most_107_bytes) {
  const std::string longest(107, 'p');
  EXPECT_EQ(longest, address::unix_path(longest).path());
  EXPECT_EQ(longest, address::unix_abstract(longest).path());
  EXPECT_EQ(std::errc::filename_too_long, thrown_by([&] { address::unix_path(longest + 'p'); }));
  EXPECT_EQ(std::errc::filename_too_long,
            thrown_by([&] { address::unix_abstract(longest + 'p'); }));
}

TEST(address, abstract_name_may_hold_a_nul) {
  using namespace std::string_view_literals;
  const address a = address::unix_abstract("a\0b"sv);
  EXPECT_TRUE(a.is_abstract());
  EXPECT_EQ("a\0b"sv, a.path());
  EXPECT_EQ(offsetof(sockaddr_un, sun_path) + 4, a.size());
}

TEST(address, path_and_abstract_name_differ) {
  EXPECT_NE(address::unix_path("x"), address::unix_abstract("x"));
}

TEST(address, well_known_addresses_have_their_literals) {
  EXPECT_EQ(address::parse("0.0.0.0:1"), address::ipv4_any(1));
  EXPECT_EQ(address::parse("127.0.0.1:2"), address::ipv4_loopback(2));
  EXPECT_EQ(address::parse("255.255.255.255:3"), address::ipv4_broadcast(3));
  EXPECT_EQ(address::parse("[::]:4"), address::ipv6_any(4));
  EXPECT_EQ(address::parse("[::1]:5"), address::ipv6_loopback(5));
}

TEST(address, with_port_changes_the_port_only) {
  EXPECT_EQ(address::parse("1.2.3.4:6"), address::parse("1.2.3.4:5").with_port(6));
  EXPECT_EQ(address::parse("[fe80::1%3]:6"), address::parse("[fe80::1%3]:5").with_port(6));
  EXPECT_EQ(address::parse("unix:/x"), address::parse("unix:/x").with_port(6));
}

TEST(address, each_part_makes_addresses_differ) {
  std::set<address> all;
  for (const char* text : {"1.2.3.4:5", "1.2.3.4:6", "1.2.3.5:5", "[::1]:5", "[::2]:5", "[::1%1]:5",
                           "unix:a", "unix:b", "unix:@a"}) {
    all.insert(address::parse(text));
  }
  all.insert(address());
  EXPECT_EQ(10u, all.size());
  EXPECT_TRUE(all.contains(address::parse("[::1%1]:5")));
}

TEST(address, equal_addresses_have_equal_hashes) {
  sockaddr_in native{};
  native.sin_family = AF_INET;
  native.sin_port = htons(80);
  native.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  native.sin_zero[3] = 1;  // the padding does not count
  const address a = address::from_native(reinterpret_cast<const sockaddr*>(&native), sizeof native);
  EXPECT_EQ(address::ipv4_loopback(80), a);
  EXPECT_EQ(std::hash<address>()(address::ipv4_loopback(80)), std::hash<address>()(a));
}

TEST(address, nothing_is_an_address_too) {
  EXPECT_EQ(AF_UNSPEC, address().family());
  EXPECT_EQ(0u, address().size());
  EXPECT_EQ("unspecified", address().to_string());
}

}  // namespace
}  // namespace coir::net::test
