#include "tests/net/support.hpp"

#include <algorithm>

namespace coir::net::test {
namespace {

TEST(resolve, literals_are_answered_at_once) {
  // No time at all: a look-up would have to wait for its thread.
  EXPECT_EQ(std::vector{address::parse("127.0.0.1:80")}, resolve("127.0.0.1", 80, 0s));
  EXPECT_EQ(std::vector{address::parse("[::1]:80")}, resolve("::1", 80, 0s));
  EXPECT_EQ(std::vector{address::parse("[::1]:80")}, resolve("[::1]", "80", 0s));
}

TEST(resolve, localhost_is_a_loopback_address) {
  const std::vector<address> found = resolve("localhost", 7, patience);
  ASSERT_FALSE(found.empty());
  for (const address& each : found) {
    EXPECT_TRUE(each == address::ipv4_loopback(7) || each == address::ipv6_loopback(7))
        << each.to_string();
  }
}

TEST(resolve, each_address_comes_once) {
  std::vector<address> found = resolve("localhost", 7, patience);
  std::sort(found.begin(), found.end());
  EXPECT_EQ(found.end(), std::adjacent_find(found.begin(), found.end()));
}

TEST(resolve, empty_host_is_this_machine) {
  for (const address& each : resolve("", 7, patience)) {
    EXPECT_EQ(each.is_ipv4() ? address::ipv4_loopback(7) : address::ipv6_loopback(7), each);
  }
}

TEST(resolve, unknown_name_is_an_error_of_its_own_category) {
  std::error_code ec;
  EXPECT_TRUE(resolve("no-such-host.invalid", 80, patience, ec).empty());
  EXPECT_TRUE(ec);
  EXPECT_EQ(resolve_category(), ec.category());
  EXPECT_FALSE(ec.message().empty());
}

TEST(resolve, the_exception_names_what_was_looked_up) {
  const std::string text = text_thrown_by([] { resolve("no-such-host.invalid", 80, patience); });
  EXPECT_TRUE(text.starts_with("resolve no-such-host.invalid:80: ")) << text;
}

TEST(resolve, unknown_service_is_an_error) {
  std::error_code ec;
  resolve("127.0.0.1", "no-such-service", patience, ec);
  EXPECT_EQ(resolve_category(), ec.category());
}

TEST(resolve, port_that_is_no_port_is_an_error) {
  for (const int port : {-1, 65536, 70000}) {
    std::error_code ec;
    EXPECT_TRUE(resolve("127.0.0.1", port, patience, ec).empty());
    EXPECT_EQ(resolve_errc::service_unknown, ec);
  }
}

// How long a look-up takes is not the test's to say: it may be over before its fiber has parked. So
// these go on until one was slow enough.

TEST(resolve, other_fibers_run_during_a_look_up) {
  bool other_ran = false;
  auto other = spawn([&] { other_ran = true; });
  std::error_code ec;
  for (const stopwatch since; !other_ran && since.elapsed() < patience;) {
    resolve("no-such-host.invalid", 80, patience, ec);
  }
  EXPECT_TRUE(other_ran);
  other.join();
}

TEST(resolve, limit_ends_a_look_up) {
  std::error_code ec;
  for (int i = 0; i < 100 && ec != std::errc::timed_out; ++i) {
    const stopwatch since;
    resolve("no-such-host.invalid", 80, 0s, ec);
    EXPECT_LT(since.elapsed(), 500ms);
  }
  EXPECT_EQ(std::errc::timed_out, ec);
}

TEST(resolve, killed_fiber_gives_its_look_up_up) {
  auto looking = spawn([] {
    for (std::error_code ec;;) resolve("no-such-host.invalid", 80, patience, ec);
  });
  this_fiber::yield();
  looking.kill(false);
  ASSERT_TRUE(looking.join_for(patience));
  EXPECT_TRUE(looking.successful());
}

}  // namespace
}  // namespace coir::net::test
