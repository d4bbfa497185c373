// Name look-ups by c-ares, against a name server of the test's own.
#include "tests/net/name_server.hpp"

#include <algorithm>
#include <set>

#include <netdb.h>

namespace coir::net::test {
namespace {

[[maybe_unused]] const auto* const server = testing::AddGlobalTestEnvironment(new name_server);

std::set<address> addresses(std::initializer_list<const char*> literals) {
  std::set<address> all;
  for (const char* each : literals) all.insert(address::parse(each));
  return all;
}

std::set<address> found(std::string_view host, const service& port) {
  const std::vector<address> list = resolve(host, port, patience);
  std::set<address> all(list.begin(), list.end());
  EXPECT_EQ(list.size(), all.size()) << "an address came twice";
  return all;
}

std::error_code fault_of(std::string_view host, const service& port = 80,
                         time_limit limit = patience) {
  std::error_code ec;
  EXPECT_TRUE(resolve(host, port, limit, ec).empty());
  return ec;
}

TEST(ares, finds_the_addresses_of_both_families_with_the_port) {
  EXPECT_EQ(addresses({"127.0.0.1:80", "[::1]:80"}), found("both.test", 80));
  EXPECT_EQ(addresses({"127.0.0.1:0"}), found("four.test", 0));
  EXPECT_EQ(addresses({"[::1]:65535"}), found("six.test", 65535));
}

TEST(ares, puts_addresses_into_the_order_of_the_system) {
  // ::1 is preferred where there is an IPv6 loopback: RFC 6724 says so, and libc does.
  std::error_code no_ipv6;
  tcp_listener::listen(address::ipv6_loopback(), no_ipv6);
  EXPECT_EQ(!no_ipv6, resolve("both.test", 80, patience).front().is_ipv6());
}

TEST(ares, follows_an_alias) { EXPECT_EQ(addresses({"127.0.0.1:80"}), found("alias.test", 80)); }

TEST(ares, reads_the_hosts_file_first) {
  for (const address& each : resolve("localhost", 7, patience)) {
    EXPECT_TRUE(each == address::ipv4_loopback(7) || each == address::ipv6_loopback(7))
        << each.to_string();
  }
}

TEST(ares, tells_why_there_is_no_address) {
  EXPECT_EQ(resolve_errc::host_not_found, fault_of("unknown.test"));
  EXPECT_EQ(resolve_errc::no_address, fault_of("empty.test"));
  EXPECT_EQ(resolve_errc::try_again, fault_of("broken.test"));
  EXPECT_EQ(resolve_errc::try_again, fault_of("refused.test"));
  EXPECT_EQ(resolve_errc::host_not_found, fault_of(std::string(300, 'x') + ".test"));
  EXPECT_EQ(resolve_errc::service_unknown, fault_of("four.test", "no-such-service"));
  const std::string text = text_thrown_by([] { resolve("unknown.test", 80, patience); });
  EXPECT_TRUE(text.starts_with("resolve unknown.test:80: ")) << text;
}

TEST(ares, knows_services_by_name_where_the_system_does) {
  const servent* const known = ::getservbyname("https", "tcp");
  if (!known) {
    EXPECT_EQ(resolve_errc::service_unknown, fault_of("four.test", "https"));
    return;
  }
  EXPECT_EQ(addresses({"127.0.0.1:443"}), found("four.test", "https"));
  EXPECT_EQ(addresses({"127.0.0.9:443"}), found("127.0.0.9", "https"));
}

TEST(ares, asks_again_over_tcp_when_an_answer_is_cut_off) {
  EXPECT_EQ(100u, found("many.test", 80).size());
}

TEST(ares, a_limit_ends_the_wait_for_a_silent_server) {
  const std::size_t before = open_descriptors();
  const std::uint64_t given_up = metrics().look_ups.given_up;
  const stopwatch since;
  EXPECT_EQ(std::errc::timed_out, fault_of("silent.test", 80, 100ms));
  expect_lasted(since, 100ms);
  EXPECT_EQ(std::errc::timed_out, fault_of("silent.test", 80, 0s));
  EXPECT_EQ(before, open_descriptors());
  EXPECT_EQ(given_up + 2, metrics().look_ups.given_up);
}

TEST(ares, the_deadline_of_a_scope_ends_it_too) {
  const std::size_t before = open_descriptors();
  EXPECT_THROW(with_timeout(50ms, [] { resolve("silent.test", 80); }), timeout);
  EXPECT_EQ(before, open_descriptors());
}

TEST(ares, killed_fiber_leaves_nothing_of_its_look_up) {
  const std::size_t before = open_descriptors();
  auto looking = spawn([] { resolve("silent.test", 80); });
  this_fiber::yield();
  EXPECT_LT(before, open_descriptors());
  EXPECT_EQ(1u, metrics().look_ups.waiting);
  looking.kill(false);
  ASSERT_TRUE(looking.join_for(patience));
  EXPECT_TRUE(looking.successful());
  EXPECT_EQ(before, open_descriptors());
  EXPECT_EQ(0u, metrics().look_ups.waiting);
}

TEST(ares, other_fibers_run_during_a_look_up) {
  bool other_ran = false;
  auto other = spawn([&] { other_ran = true; });
  EXPECT_EQ(addresses({"127.0.0.1:80"}), found("late.test", 80));
  EXPECT_TRUE(other_ran);
  other.join();
}

TEST(ares, a_hundred_names_are_looked_up_at_a_time_on_one_thread) {
  // The server answers none before it has been asked for all.
  const std::size_t before = open_descriptors();
  std::vector<fiber<std::size_t>> looking;
  for (int i = 0; i < 100; ++i) {
    looking.push_back(spawn(
        [i] { return resolve("gather-100-" + std::to_string(i) + ".test", 80, patience).size(); }));
  }
  std::uint64_t turns = 0;
  auto other = spawn([&] {
    for (;; this_fiber::yield()) ++turns;
  });
  for (auto& each : looking) EXPECT_EQ(1u, each.get());
  other.kill();
  EXPECT_LT(0u, turns);
  EXPECT_EQ(before, open_descriptors());
}

TEST(ares, all_workers_look_up_at_a_time) {
  workers set(2);
  std::vector<fiber<std::size_t>> looking;
  for (int i = 0; i < 40; ++i) {
    looking.push_back(
        set.spawn([i] { return resolve(i % 2 ? "both.test" : "many.test", 80, patience).size(); }));
  }
  for (std::size_t i = 0; i < looking.size(); ++i) EXPECT_EQ(i % 2 ? 2u : 100u, looking[i].get());
}

// What is held back comes once another name is asked for: then all who share a look-up are in it.

/// The fiber has asked the server, or waits for one that has.
template <class Look>
auto begun(Look look) {
  const std::uint64_t before = metrics().look_ups.waiting;
  auto looking = spawn(look);
  for (const stopwatch since; metrics().look_ups.waiting == before && since.elapsed() < patience;)
    this_fiber::yield();
  return looking;
}

TEST(shared_ares, fibers_of_all_workers_that_ask_the_same_share_one_question) {
  workers set(2);
  const look_up_counts before = metrics().look_ups;
  const auto ask = [] { return resolve("held-all.test", 80, patience); };
  std::vector<fiber<std::vector<address>>> asking;
  for (int i = 0; i < 10; ++i) asking.push_back(spawn(ask));
  for (int i = 0; i < 10; ++i) asking.push_back(set.spawn(ask));
  for (const stopwatch since; metrics().look_ups.waiting < 20 && since.elapsed() < patience;)
    sleep(1ms);
  resolve("release.test", 80, patience);
  for (auto& each : asking) EXPECT_EQ(std::vector{address::parse("10.0.0.1:80")}, each.get());
  const look_up_counts after = metrics().look_ups;
  EXPECT_EQ(before.begun + 2, after.begun);
  EXPECT_EQ(before.coalesced + 19, after.coalesced);
  EXPECT_EQ(0u, after.waiting);
}

TEST(shared_ares, when_the_one_that_asked_is_killed_another_asks) {
  const std::size_t before = open_descriptors();
  const auto ask = [] { return resolve("held-killed.test", 80, patience); };
  auto first = begun(ask);
  auto second = begun(ask);
  auto third = begun(ask);
  first.kill();
  this_fiber::yield();  // the second asks
  resolve("release.test", 80, patience);
  EXPECT_EQ(std::vector{address::parse("10.0.0.2:80")}, second.get());
  EXPECT_EQ(std::vector{address::parse("10.0.0.2:80")}, third.get());
  EXPECT_EQ(before, open_descriptors());
}

TEST(shared_ares, one_that_times_out_or_is_killed_leaves_the_others_alone) {
  const std::size_t before = open_descriptors();
  const auto ask = [] { return resolve("held-late.test", 80, patience); };
  auto impatient = begun([] {
    std::error_code ec;
    resolve("held-late.test", 80, 30ms, ec);
    return ec;
  });
  auto patient = begun(ask);
  auto is_killed = begun(ask);
  is_killed.kill();
  EXPECT_EQ(std::errc::timed_out, impatient.get());
  this_fiber::yield();  // the patient one asks
  resolve("release.test", 80, patience);
  EXPECT_EQ(std::vector{address::parse("10.0.0.2:80")}, patient.get());
  EXPECT_EQ(before, open_descriptors());
}

TEST(shared_ares, a_failure_reaches_all) {
  std::vector<fiber<std::error_code>> asking;
  for (int i = 0; i < 5; ++i) asking.push_back(spawn([] { return fault_of("unknown.test"); }));
  for (auto& each : asking) EXPECT_EQ(resolve_errc::host_not_found, each.get());
}

class ares_settings : public testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
  /// Ends the process: 0 when a look-up fails with `expected`.
  [[noreturn]] static void expect_fault(const char* variable, const char* value,
                                        std::error_code expected) {
    ::setenv(variable, value, 1);
    std::error_code ec;
    resolve("four.test", 80, patience, ec);
    resolve("four.test", 80, patience, ec);
    _exit(ec == expected ? 0 : 1);
  }
};

TEST_F(ares_settings, a_resolver_that_is_none_is_refused_and_said) {
  EXPECT_EXIT(
      expect_fault("COIR_RESOLVER", "bind", std::make_error_code(std::errc::invalid_argument)),
      testing::ExitedWithCode(0), "coir: COIR_RESOLVER=bind names no resolver: use thread or ares");
}

TEST_F(ares_settings, name_servers_that_are_none_are_refused_and_said) {
  EXPECT_EXIT(expect_fault("COIR_NAME_SERVERS", "127.0.0.1:5353,example.org",
                           std::make_error_code(std::errc::invalid_argument)),
              testing::ExitedWithCode(0), "coir: COIR_NAME_SERVERS=127.0.0.1:5353,example.org is ");
}

TEST_F(ares_settings, a_port_without_a_name_server_is_told_at_once) {
  EXPECT_EXIT(expect_fault("COIR_NAME_SERVERS", "127.0.0.1:1", resolve_errc::try_again),
              testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace coir::net::test
