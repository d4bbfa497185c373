// Making TCP connections: tcp_stream::connect and open, tcp_listener.
#include "tests/net/support.hpp"

#include <array>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>

namespace coir::net::test {
namespace {

tcp_listener loopback_listener() { return tcp_listener::listen(address::ipv4_loopback()); }

/// A port at which nobody listens, for as long as this lives.
class deaf_port {
 public:
  deaf_port() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    where_ = address::ipv4_loopback();
    EXPECT_EQ(0, bind(fd_, where_.data(), where_.size()));
    socklen_t size = address::capacity();
    EXPECT_EQ(0, getsockname(fd_, where_.data(), &size));
  }
  ~deaf_port() { ::close(fd_); }
  const address& where() const { return where_; }

 private:
  int fd_;
  address where_;
};

/// A listener whose queue is full, so that the kernel leaves new connections unanswered.
class full_listener {
 public:
  full_listener() {
    tcp_listener::options how;
    how.backlog = 0;
    listener_ = tcp_listener::listen(address::ipv4_loopback(), how);
    std::error_code ec;
    while (!ec && waiting_.size() < 16) {
      waiting_.push_back(tcp_stream::connect(where(), 50ms, ec));
    }
    EXPECT_EQ(std::errc::timed_out, ec);
  }
  address where() const { return listener_.local_address(); }

 private:
  tcp_listener listener_;
  std::vector<tcp_stream> waiting_;
};

/// Closing it then resets the connection.
void reset_on_close(const stream& s) {
  const linger at_once{1, 0};
  ASSERT_EQ(0, setsockopt(s.native_handle(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once));
}

int int_option(const stream& s, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  EXPECT_EQ(0, getsockopt(s.native_handle(), level, name, &value, &size));
  return value;
}

/// While it lives the process cannot open any more descriptors.
class no_descriptors_left {
 public:
  no_descriptors_left() {
    EXPECT_EQ(0, getrlimit(RLIMIT_NOFILE, &before_));
    const int next = dup(0);
    ::close(next);
    const rlimit tight{static_cast<rlim_t>(next), before_.rlim_max};
    EXPECT_EQ(0, setrlimit(RLIMIT_NOFILE, &tight));
  }
  ~no_descriptors_left() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_;
};

TEST(tcp_stream, connects_to_an_address) {
  tcp_listener listener = loopback_listener();
  const tcp_stream client = tcp_stream::connect(listener.local_address());
  const tcp_stream server = listener.accept();
  EXPECT_EQ(listener.local_address(), client.peer_address());
  EXPECT_EQ(client.local_address(), server.peer_address());
  EXPECT_EQ(client.peer_address(), server.local_address());
}

TEST(tcp_stream, connects_to_a_name) {
  tcp_listener listener = loopback_listener();
  const auto port = listener.local_address().port();
  const tcp_stream client = tcp_stream::connect("localhost", port, patience);
  EXPECT_EQ(listener.local_address(), client.peer_address());
  EXPECT_TRUE(tcp_stream::connect("127.0.0.1", std::to_string(port), patience).is_open());
}

TEST(tcp_stream, empty_host_is_tried_at_each_loopback_address) {
  tcp_listener listener = loopback_listener();  // IPv4, while the look-up answers ::1 first
  const tcp_stream client = tcp_stream::connect("", listener.local_address().port(), patience);
  EXPECT_EQ(listener.local_address(), client.peer_address());
}

TEST(tcp_stream, refused_connect_says_what_was_attempted) {
  const deaf_port nobody;
  EXPECT_EQ("connect to " + nobody.where().to_string() + ": Connection refused",
            text_thrown_by([&] { tcp_stream::connect(nobody.where()); }));
  EXPECT_EQ(
      "connect to localhost:" + std::to_string(nobody.where().port()) + ": Connection refused",
      text_thrown_by([&] { tcp_stream::connect("localhost", nobody.where().port()); }));
}

TEST(tcp_stream, refused_connect_has_its_code) {
  const deaf_port nobody;
  std::error_code ec;
  EXPECT_FALSE(tcp_stream::connect(nobody.where(), ec).is_open());
  EXPECT_EQ(std::errc::connection_refused, ec);
}

TEST(tcp_stream, unknown_host_is_the_resolvers_error) {
  std::error_code ec;
  tcp_stream::connect("no-such-host.invalid", 80, patience, ec);
  EXPECT_EQ(resolve_category(), ec.category());
}

TEST(tcp_stream, connect_without_time_does_not_wait) {
  const full_listener busy;
  const stopwatch since;
  std::error_code ec;
  tcp_stream::connect(busy.where(), 0s, ec);
  EXPECT_EQ(std::errc::timed_out, ec);
  EXPECT_LT(since.elapsed(), promptly);
}

TEST(tcp_stream, connect_ends_at_its_limit) {
  const full_listener busy;
  const stopwatch since;
  std::error_code ec;
  tcp_stream::connect(busy.where(), 200ms, ec);
  EXPECT_EQ(std::errc::timed_out, ec);
  expect_lasted(since, 200ms);
}

TEST(tcp_stream, close_while_connecting_gives_the_connect_ebadf) {
  const full_listener busy;
  tcp_stream connecting;
  auto opening = spawn([&] { return thrown_by([&] { connecting.open(busy.where()); }); });
  this_fiber::yield();
  EXPECT_TRUE(connecting.is_open());
  const stopwatch since;
  connecting.close();
  EXPECT_EQ(std::errc::bad_file_descriptor, opening.get_for(patience));
  EXPECT_LT(since.elapsed(), promptly);
}

TEST(tcp_stream, open_keeps_to_the_write_deadline) {
  const full_listener busy;
  tcp_stream connecting;
  connecting.writes_expire_after(20ms);
  EXPECT_EQ(std::errc::timed_out, thrown_by([&] { connecting.open(busy.where()); }));
  EXPECT_FALSE(connecting.is_open());
}

TEST(tcp_stream, open_works_again_after_a_failure_and_after_a_close) {
  const deaf_port nobody;
  tcp_listener listener = loopback_listener();
  tcp_stream client;
  EXPECT_EQ(std::errc::connection_refused, thrown_by([&] { client.open(nobody.where()); }));
  for (int i = 0; i < 3; ++i) {
    client.open(listener.local_address());
    tcp_stream server = listener.accept();
    server.write_all("hello");
    std::string got(5, '\0');
    client.read_exactly(got);
    EXPECT_EQ("hello", got);
    client.close();
  }
}

TEST(tcp_stream, open_of_an_open_stream_is_an_error) {
  auto [near, far] = tcp_connection();
  EXPECT_EQ(std::errc::already_connected, thrown_by([&] { near.open(far.local_address()); }));
  EXPECT_TRUE(near.is_open());
}

TEST(tcp_stream, connect_that_fails_leaves_no_descriptor_behind) {
  const full_listener busy;
  const deaf_port nobody;
  const std::size_t before = open_descriptors();
  std::error_code ec;
  tcp_stream::connect(nobody.where(), ec);
  tcp_stream::connect(busy.where(), 10ms, ec);
  auto killed = spawn([&] { tcp_stream::connect(busy.where()); });
  this_fiber::yield();
  EXPECT_EQ(before + 1, open_descriptors());
  killed.kill();
  EXPECT_EQ(before, open_descriptors());
}

TEST(tcp_stream, wrong_family_is_an_error) {
  EXPECT_EQ(std::errc::address_family_not_supported,
            thrown_by([] { tcp_stream::connect(address::unix_path("/run/x")); }));
  EXPECT_EQ(std::errc::address_family_not_supported,
            thrown_by([] { tcp_stream::connect(address()); }));
}

TEST(tcp_stream, small_writes_are_sent_at_once_from_the_start) {
  auto [near, far] = tcp_connection();
  EXPECT_NE(0, int_option(near, IPPROTO_TCP, TCP_NODELAY));
  EXPECT_NE(0, int_option(far, IPPROTO_TCP, TCP_NODELAY));
  near.set_no_delay(false);
  EXPECT_EQ(0, int_option(near, IPPROTO_TCP, TCP_NODELAY));
}

TEST(tcp_stream, keep_alive_can_be_set) {
  auto [near, far] = tcp_connection();
  EXPECT_EQ(0, int_option(near, SOL_SOCKET, SO_KEEPALIVE));
  near.set_keep_alive(true);
  EXPECT_NE(0, int_option(near, SOL_SOCKET, SO_KEEPALIVE));
}

TEST(tcp_stream, reset_by_the_peer_ends_a_waiting_read) {
  auto [near, far] = tcp_connection();
  auto reading = spawn([&s = near] {
    std::array<char, 8> bytes;
    return thrown_by([&] { s.read_some(bytes); });
  });
  this_fiber::yield();
  reset_on_close(far);
  far.close();
  EXPECT_EQ(std::errc::connection_reset, reading.get_for(patience));
}

TEST(tcp_stream, reset_by_the_peer_ends_a_waiting_write) {
  auto [near, far] = tcp_connection();
  shrink_buffers(near);
  fill(near);
  auto writing =
      spawn([&s = near] { return thrown_by([&] { s.write_all(std::vector<char>(1 << 20)); }); });
  this_fiber::yield();
  reset_on_close(far);
  far.close();
  const std::error_code ec = writing.get_for(patience);
  EXPECT_TRUE(ec == std::errc::connection_reset || ec == std::errc::broken_pipe) << ec.message();
}

TEST(tcp_stream, error_of_a_read_names_the_peer) {
  auto [near, far] = tcp_connection();
  near.expires_after(0s);
  std::array<char, 8> bytes;
  EXPECT_EQ("read from " + far.local_address().to_string() + ": Connection timed out",
            text_thrown_by([&s = near, &bytes] { s.read_some(bytes); }));
}

TEST(tcp_listener, accept_tells_the_peer) {
  tcp_listener listener = loopback_listener();
  const tcp_stream client = tcp_stream::connect(listener.local_address());
  address peer;
  const tcp_stream server = listener.accept(peer);
  EXPECT_EQ(client.local_address(), peer);
}

TEST(tcp_listener, accept_waits_for_a_connection) {
  tcp_listener listener = loopback_listener();
  auto accepting = spawn([&] { return listener.accept().is_open(); });
  this_fiber::yield();
  EXPECT_FALSE(accepting.ready());
  const tcp_stream client = tcp_stream::connect(listener.local_address());
  EXPECT_TRUE(accepting.get_for(patience));
}

TEST(tcp_listener, each_waiting_fiber_gets_a_connection) {
  tcp_listener listener = loopback_listener();
  std::vector<fiber<bool>> accepting;
  for (int i = 0; i < 5; ++i)
    accepting.push_back(spawn([&] { return listener.accept().is_open(); }));
  this_fiber::yield();
  for (int i = 0; i < 5; ++i) tcp_stream::connect(listener.local_address());
  for (auto& each : accepting) EXPECT_TRUE(each.get_for(patience));
}

TEST(tcp_listener, accept_ends_at_its_deadline) {
  tcp_listener listener = loopback_listener();
  const stopwatch since;
  listener.expires_after(200ms);
  EXPECT_EQ(std::errc::timed_out, thrown_by([&] { listener.accept(); }));
  expect_lasted(since, 200ms);
}

TEST(tcp_listener, close_while_another_fiber_accepts_gives_it_ebadf_promptly) {
  tcp_listener listener = loopback_listener();
  auto accepting = spawn([&] { return thrown_by([&] { listener.accept(); }); });
  this_fiber::yield();
  const stopwatch since;
  listener.close();
  EXPECT_EQ(std::errc::bad_file_descriptor, accepting.get_for(patience));
  EXPECT_LT(since.elapsed(), promptly);
}

TEST(tcp_listener, after_close_connects_are_refused) {
  tcp_listener listener = loopback_listener();
  const address where = listener.local_address();
  listener.close();
  EXPECT_EQ(std::errc::connection_refused, thrown_by([&] { tcp_stream::connect(where); }));
}

TEST(tcp_listener, after_close_while_a_fiber_accepts_connects_are_refused_at_once) {
  tcp_listener listener = loopback_listener();
  const address where = listener.local_address();
  auto accepting = spawn([&] { return thrown_by([&] { listener.accept(); }); });
  this_fiber::yield();
  listener.close();
  const int client = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  EXPECT_EQ(-1,
            ::connect(client, where.data(), where.size()));  // by libc, so that nobody else runs
  EXPECT_EQ(ECONNREFUSED, errno);
  ::close(client);
  EXPECT_EQ(std::errc::bad_file_descriptor, accepting.get_for(patience));
}

TEST(tcp_listener, killed_accept_loses_no_connection) {
  tcp_listener listener = loopback_listener();
  auto accepting = spawn([&] { listener.accept(); });
  this_fiber::yield();
  accepting.kill();
  const tcp_stream client = tcp_stream::connect(listener.local_address());
  listener.expires_after(patience);
  EXPECT_TRUE(listener.accept().is_open());
}

TEST(tcp_listener, shortage_of_descriptors_is_reported_and_the_listener_works_on) {
  tcp_listener listener = loopback_listener();
  listener.expires_after(patience);
  tcp_stream client = tcp_stream::connect(listener.local_address());
  {
    const no_descriptors_left shortage;
    std::error_code ec;
    EXPECT_FALSE(listener.accept(ec).is_open());
    EXPECT_EQ(std::errc::too_many_files_open, ec);
    EXPECT_TRUE(is_resource_shortage(ec));
    EXPECT_EQ("accept on " + listener.local_address().to_string() + ": Too many open files",
              text_thrown_by([&] { listener.accept(); }));
  }
  tcp_stream server = listener.accept();
  server.write_all("sorry for the wait");
  std::string got(18, '\0');
  client.read_exactly(got);
  EXPECT_EQ("sorry for the wait", got);
}

TEST(tcp_listener, shortage_of_descriptors_is_reported_by_a_waiting_accept) {
  tcp_listener listener = loopback_listener();
  tcp_stream client;
  auto connecting = spawn_after(50ms, [&, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)] {
    const address where = listener.local_address();
    EXPECT_EQ(0, ::connect(fd, where.data(), where.size()));
    client = tcp_stream::adopt(fd);
  });
  listener.expires_after(1ms);  // whatever the runtime opens for a first wait is open afterwards
  EXPECT_EQ(std::errc::timed_out, thrown_by([&] { listener.accept(); }));
  listener.expires_after(patience);
  {
    const no_descriptors_left shortage;
    EXPECT_EQ(std::errc::too_many_files_open, thrown_by([&] { listener.accept(); }));
  }
  EXPECT_TRUE(listener.accept().is_open());
  connecting.get();
}

TEST(tcp_listener, connection_given_up_in_the_queue_does_no_harm) {
  tcp_listener listener = loopback_listener();
  listener.expires_after(patience);
  {
    const tcp_stream gone = tcp_stream::connect(listener.local_address());
    reset_on_close(gone);
  }
  tcp_stream client = tcp_stream::connect(listener.local_address());
  address peer;
  for (int i = 0; i < 2 && peer != client.local_address(); ++i) listener.accept(peer);
  EXPECT_EQ(client.local_address(), peer);
}

TEST(tcp_listener, port_in_use_says_what_was_attempted) {
  const tcp_listener listener = loopback_listener();
  const address where = listener.local_address();
  EXPECT_EQ("listen on " + where.to_string() + ": Address already in use",
            text_thrown_by([&] { tcp_listener::listen(where); }));
}

TEST(tcp_listener, listeners_may_share_a_port) {
  tcp_listener::options how;
  how.reuse_port = true;
  const tcp_listener first = tcp_listener::listen(address::ipv4_loopback(), how);
  EXPECT_TRUE(tcp_listener::listen(first.local_address(), how).is_open());
}

TEST(tcp_listener, port_can_be_taken_again_while_old_connections_linger) {
  tcp_listener listener = loopback_listener();
  const address where = listener.local_address();
  tcp_stream client = tcp_stream::connect(where);
  listener.accept().close();  // the side that closes first lingers
  client.close();
  listener.close();
  EXPECT_TRUE(tcp_listener::listen(where).is_open());
}

TEST(tcp_listener, any_ipv6_address_takes_ipv4_too_unless_told_otherwise) {
  tcp_listener both = tcp_listener::listen(address::ipv6_any());
  EXPECT_TRUE(tcp_stream::connect(address::ipv4_loopback(both.local_address().port())).is_open());
  tcp_listener::options how;
  how.v6_only = true;
  const tcp_listener v6 = tcp_listener::listen(address::ipv6_any(), how);
  EXPECT_EQ(std::errc::connection_refused, thrown_by([&] {
              tcp_stream::connect(address::ipv4_loopback(v6.local_address().port()));
            }));
}

TEST(tcp_listener, inherited_descriptor_can_be_adopted) {
  const int fd = loopback_listener().release();
  tcp_listener listener = tcp_listener::adopt(fd);
  EXPECT_EQ(fd, listener.native_handle());
  const tcp_stream client = tcp_stream::connect(listener.local_address());
  EXPECT_TRUE(listener.accept().is_open());
}

TEST(tcp_listener, moving_hands_the_socket_over) {
  tcp_listener listener = loopback_listener();
  tcp_listener moved = std::move(listener);
  EXPECT_FALSE(listener.is_open());
  EXPECT_EQ(std::errc::bad_file_descriptor, thrown_by([&] { listener.accept(); }));
  const tcp_stream client = tcp_stream::connect(moved.local_address());
  EXPECT_TRUE(moved.accept().is_open());
}

TEST(tcp_select, sees_what_a_stream_has_to_read_between_waits_of_its_own) {
  auto c = tcp_connection();
  c.far.expires_after(patience);
  channel<int> others;
  char byte = 0;
  for (int i = 0; i < 3; ++i) {
    auto reading = spawn([&] { return c.far.read_some({&byte, 1}); });
    this_fiber::yield();
    c.near.write_all("x");
    EXPECT_EQ(1u, reading.get());
    auto selecting = spawn([&] {
      return select(on_recv(others), on_readable(c.far.native_handle()), after(patience));
    });
    this_fiber::yield();
    EXPECT_FALSE(selecting.ready());
    c.near.write_all("y");
    EXPECT_EQ(1u, selecting.get());
    EXPECT_EQ(1u, c.far.read_some({&byte, 1}));
    EXPECT_EQ('y', byte);
  }
}

}  // namespace
}  // namespace coir::net::test
