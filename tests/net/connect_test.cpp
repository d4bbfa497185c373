// Connecting to a host that has several addresses, some of which do not answer. The name server of
// this program (ares_test.cpp starts it) gives a name whatever addresses it is made of.
#include "tests/net/support.hpp"

#include <cstddef>
#include <cstdio>

#include <netinet/in.h>
#include <poll.h>

namespace coir::net::test {
namespace {

/// "127.0.0.2", which is this machine as well, and so on.
address loopback(int last, std::uint16_t port) {
  return address::ipv4("127.0.0." + std::to_string(last), port);
}

/// The address in hexadecimal digits.
std::string label_of(const address& a) {
  const auto* const native = reinterpret_cast<const unsigned char*>(a.data());
  const bool is_ipv4 = a.is_ipv4();
  const std::size_t at =
      is_ipv4 ? offsetof(sockaddr_in, sin_addr) : offsetof(sockaddr_in6, sin6_addr);
  const std::size_t size = is_ipv4 ? sizeof(in_addr) : sizeof(in6_addr);
  std::string text;
  for (std::size_t i = at; i < at + size; ++i) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", native[i]);
    text += digits;
  }
  return text;
}

/// A name that has these addresses, in this order within each family.
std::string name_of(const std::vector<address>& addresses) {
  std::string name;
  for (const address& each : addresses) name += label_of(each) + '.';
  return name + "list.test";
}

/// A port on which nobody listens, on any address of the loopback: taken, but not listening.
class closed_port {
 public:
  closed_port() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    address local = address::ipv4_any();
    EXPECT_EQ(0, ::bind(socket_, local.data(), local.size()));
    socklen_t size = address::capacity();
    EXPECT_EQ(0, ::getsockname(socket_, local.data(), &size));
    number_ = local.port();
  }
  ~closed_port() { ::close(socket_); }
  std::uint16_t number() const { return number_; }

 private:
  int socket_;
  std::uint16_t number_ = 0;
};

/// Listens, but its queue is full, so that whoever connects gets no answer.
class black_hole {
 public:
  explicit black_hole(const address& local)
      : listener_(::socket(local.family(), SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const int on = 1;
    ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    EXPECT_EQ(0, ::bind(listener_, local.data(), local.size())) << local.to_string();
    EXPECT_EQ(0, ::listen(listener_, 0));
    at_.resize(address::capacity());
    socklen_t size = address::capacity();
    EXPECT_EQ(0, ::getsockname(listener_, at_.data(), &size));
    at_.resize(size);
    fill();
  }
  ~black_hole() {
    for (const int fd : fillers_) ::close(fd);
    ::close(listener_);
  }
  black_hole(const black_hole&) = delete;
  black_hole& operator=(const black_hole&) = delete;
  const address& at() const { return at_; }
  /// Closes what has filled the queue.
  void make_room() {
    for (const int fd : fillers_) ::close(fd);
    fillers_.clear();
    for (pollfd waiting{listener_, POLLIN, 0}; ::poll(&waiting, 1, 0) == 1;) {
      ::close(::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC));
    }
  }

 private:
  void fill() {
    for (bool is_full = false; !is_full;) {
      ASSERT_LT(fillers_.size(), 64u) << "the listener's queue does not fill";
      fillers_.push_back(::socket(at_.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      ::connect(fillers_.back(), at_.data(), at_.size());
      pollfd connected{fillers_.back(), POLLOUT, 0};
      is_full = ::poll(&connected, 1, 100) == 0;
    }
  }

  int listener_;
  std::vector<int> fillers_;
  address at_;
};

bool has_ipv6() {
  std::error_code ec;
  tcp_listener::listen(address::ipv6_loopback(), ec);
  return !ec;
}

/// Lets `count` attempts get under way, since `before` descriptors were open; the socket of the
/// look-up is gone by then.
void await_attempts(std::size_t before, std::size_t count) {
  const stopwatch since;
  while (since.elapsed() < patience &&
         (since.elapsed() < 240ms * (count - 1) || open_descriptors() != before + count)) {
    sleep(5ms);
  }
  EXPECT_EQ(before + count, open_descriptors());
}

TEST(connect_to_name, one_address_is_connected_to_and_works) {
  tcp_listener listener = tcp_listener::listen(address::ipv4_loopback());
  const std::size_t before = open_descriptors();
  tcp_stream near = tcp_stream::connect("four.test", listener.local_address().port(), patience);
  EXPECT_EQ(before + 1, open_descriptors());
  tcp_stream far = listener.accept();
  near.expires_after(patience);
  far.expires_after(patience);
  near.write_all({"hello", 5});
  char got[5];
  far.read_exactly(got);
  EXPECT_EQ("hello", std::string(got, 5));
  EXPECT_EQ(listener.local_address(), near.peer_address());
}

TEST(connect_to_name, an_address_that_does_not_answer_holds_up_the_next_for_a_moment_only) {
  const black_hole silent(loopback(2, 0));
  const std::uint16_t port = silent.at().port();
  tcp_listener listener = tcp_listener::listen(loopback(3, port));
  const std::string name = name_of({silent.at(), loopback(3, port)});
  const std::size_t before = open_descriptors();
  const stopwatch since;
  tcp_stream made = tcp_stream::connect(name, port, patience);
  EXPECT_GE(since.elapsed(), 240ms);
  EXPECT_LT(since.elapsed(), patience / 2);
  EXPECT_EQ(loopback(3, port), made.peer_address());
  EXPECT_EQ(before + 1, open_descriptors()) << "the attempt that lost was not closed";
}

TEST(connect_to_name, the_first_attempt_may_still_win_when_the_second_has_begun) {
  black_hole silent(loopback(2, 0));
  const std::uint16_t port = silent.at().port();
  const black_hole silent_too(loopback(3, port));
  const std::string name = name_of({silent.at(), silent_too.at()});
  const std::size_t before = open_descriptors();
  auto connecting = spawn([&] { return tcp_stream::connect(name, port, patience); });
  await_attempts(before, 2);
  silent.make_room();
  const std::size_t with_both = open_descriptors();
  // The kernel asks again within a second or so
  const tcp_stream& made = connecting.get();
  EXPECT_EQ(silent.at(), made.peer_address());
  EXPECT_EQ(with_both - 1, open_descriptors());
}

TEST(connect_to_name, addresses_that_refuse_cost_no_wait) {
  tcp_listener listener = tcp_listener::listen(loopback(20, 0));
  const std::uint16_t port = listener.local_address().port();
  std::vector<address> all;
  for (int i = 2; i <= 20; ++i) all.push_back(loopback(i, port));
  const std::size_t before = open_descriptors();
  const stopwatch since;
  tcp_stream made = tcp_stream::connect(name_of(all), port, patience);
  EXPECT_LT(since.elapsed(), 250ms * 18 / 2) << "each of 18 addresses was waited for";
  EXPECT_EQ(loopback(20, port), made.peer_address());
  EXPECT_EQ(before + 1, open_descriptors());
}

TEST(connect_to_name, families_take_turns) {
  if (!has_ipv6()) GTEST_SKIP() << "this machine has no IPv6 loopback";
  tcp_listener listener = tcp_listener::listen(address::ipv4_any());
  const std::uint16_t port = listener.local_address().port();
  // ::1 comes first and refuses. Next is the other family's, not the second of IPv6, which would
  // get through to 127.0.0.2.
  const std::string name = name_of({address::ipv6_loopback(port), loopback(1, port)});
  const std::string longer = label_of(address::ipv6("::ffff:127.0.0.2", port)) + '.' + name;
  ASSERT_TRUE(resolve(longer, port, patience).front() == address::ipv6_loopback(port));
  tcp_stream made = tcp_stream::connect(longer, port, patience);
  EXPECT_EQ(loopback(1, port), made.peer_address());
}

TEST(connect_to_name, when_all_refuse_that_is_the_error_and_the_text_names_the_host) {
  const closed_port port;
  const std::string name = name_of({loopback(2, 0), loopback(3, 0)});
  const std::size_t before = open_descriptors();
  std::error_code ec;
  EXPECT_FALSE(tcp_stream::connect(name, port.number(), patience, ec).is_open());
  EXPECT_EQ(std::errc::connection_refused, ec);
  EXPECT_EQ(before, open_descriptors());
  const std::string said =
      text_thrown_by([&] { tcp_stream::connect(name, port.number(), patience); });
  EXPECT_TRUE(said.starts_with("connect to " + name + ':' + std::to_string(port.number()) + ": "))
      << said;
}

TEST(connect_to_name, an_address_without_a_way_to_it_does_not_hide_a_better_error) {
  const closed_port port;
  const address broadcast = address::ipv4_broadcast(0);  // TCP knows no way to it
  for (const std::vector<address>& all :
       {std::vector{loopback(2, 0), broadcast}, std::vector{broadcast, loopback(2, 0)}}) {
    std::error_code ec;
    tcp_stream::connect(name_of(all), port.number(), patience, ec);
    EXPECT_EQ(std::errc::connection_refused, ec) << ec.message();
  }
  std::error_code ec;
  tcp_stream::connect(name_of({broadcast}), port.number(), patience, ec);
  EXPECT_EQ(std::errc::network_unreachable, ec) << ec.message();
}

TEST(connect_to_name, a_name_that_is_not_known_is_an_error_of_the_look_up) {
  std::error_code ec;
  tcp_stream::connect("unknown.test", 80, patience, ec);
  EXPECT_EQ(resolve_errc::host_not_found, ec);
}

TEST(connect_to_name, one_limit_counts_over_the_look_up_and_all_attempts) {
  const black_hole silent(loopback(2, 0));
  const std::uint16_t port = silent.at().port();
  const black_hole silent_too(loopback(3, port));
  const std::size_t before = open_descriptors();
  std::error_code ec;
  const stopwatch since;
  tcp_stream::connect(name_of({silent.at(), silent_too.at()}), port, 400ms, ec);
  EXPECT_EQ(std::errc::timed_out, ec);
  expect_lasted(since, 400ms);
  const stopwatch again;
  tcp_stream::connect("silent.test", port, 100ms, ec);
  EXPECT_EQ(std::errc::timed_out, ec);
  expect_lasted(again, 100ms);
  EXPECT_EQ(before, open_descriptors());
}

TEST(connect_to_name, killed_fiber_leaves_no_attempt_behind) {
  const black_hole silent(loopback(2, 0));
  const std::uint16_t port = silent.at().port();
  const black_hole silent_too(loopback(3, port));
  const std::string name = name_of({silent.at(), silent_too.at()});
  const std::size_t before = open_descriptors();
  auto connecting = spawn([&] { tcp_stream::connect(name, port, patience); });
  await_attempts(before, 2);
  connecting.kill();
  EXPECT_TRUE(connecting.successful());
  EXPECT_EQ(before, open_descriptors());
}

TEST(connect_to_name, many_fibers_connect_to_one_name_at_a_time) {
  const black_hole silent(loopback(2, 0));
  const std::uint16_t port = silent.at().port();
  tcp_listener listener = tcp_listener::listen(loopback(3, port));
  const std::string name = name_of({silent.at(), loopback(3, port)});
  const std::size_t before = open_descriptors();
  std::vector<fiber<bool>> connecting;
  for (int i = 0; i < 50; ++i) {
    connecting.push_back(spawn(
        [&] { return tcp_stream::connect(name, port, patience).peer_address().port() == port; }));
  }
  for (auto& each : connecting) EXPECT_TRUE(each.get());
  EXPECT_EQ(before, open_descriptors());
}

}  // namespace
}  // namespace coir::net::test
