// TLS connections whose two ends are ours: what was agreed on, how bytes go, how it ends.
#include "tests/net/tls_support.hpp"

#include <coir/group.hpp>

#include <algorithm>
#include <thread>

#include <sys/socket.h>
#include <sys/wait.h>

namespace coir::net::test {
namespace {

tls_options of_version(tls_options options, tls_version version) {
  options.version_min = options.version_max = version;
  return options;
}

/// Closes a connection by a reset, and says nothing of TLS: as the kernel does for a process that
/// was killed. The stream's close() then finds a descriptor that cannot send.
void reset(tls_stream& s) {
  const linger at_once{1, 0};
  setsockopt(s.native_handle(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  const sockaddr nobody{AF_UNSPEC, {}};
  ASSERT_EQ(0, ::connect(s.native_handle(), &nobody, sizeof nobody));  // disconnects: a reset
}

class both_versions : public testing::TestWithParam<tls_version> {
 protected:
  handshake_result connection() {
    return secure_connection(of_version(client_options(), GetParam()),
                             of_version(server_options(), GetParam()));
  }
  /// One whose buffers are soon full, over unix sockets: a TCP window of a few kilobytes is slow.
  handshake_result narrow_connection() {
    auto [near, far] = unix_stream::pair();
    shrink_buffers(near);
    shrink_buffers(far);
    return shake_hands_over(std::move(near), std::move(far),
                            tls_context::client(of_version(client_options(), GetParam())),
                            tls_context::server(of_version(server_options(), GetParam())));
  }
};

INSTANTIATE_TEST_SUITE_P(tls, both_versions,
                         testing::Values(tls_version::tls12, tls_version::tls13),
                         [](const auto& one) {
                           return one.param == tls_version::tls12 ? "tls12" : "tls13";
                         });

TEST_P(both_versions, the_two_sides_talk_and_know_what_they_agreed_on) {
  handshake_result c = connection();
  expect_talk(c);
  const std::string version = GetParam() == tls_version::tls12 ? "TLSv1.2" : "TLSv1.3";
  EXPECT_EQ(c.client.version(), version);
  EXPECT_EQ(c.server.version(), version);
  EXPECT_EQ(c.client.cipher(), c.server.cipher());
  EXPECT_EQ(c.server.server_name(), "localhost");
  EXPECT_EQ(c.client.alpn(), "");
  EXPECT_FALSE(c.client.verification());
  const tls_certificate shown = c.client.peer_certificate().value();
  EXPECT_EQ(shown.subject, "CN=localhost");
  EXPECT_EQ(shown.issuer, "CN=coir test CA");
  EXPECT_EQ(shown.hosts, std::vector<std::string>{"localhost"});
  EXPECT_EQ(shown.addresses, std::vector<std::string>{"127.0.0.1"});
  EXPECT_EQ(shown.pem, local_server().certificate_pem);
  EXPECT_EQ(shown.sha256.size(), 64u);
  EXPECT_LT(shown.valid_from, std::chrono::system_clock::now());
  EXPECT_GT(shown.valid_until, std::chrono::system_clock::now() + std::chrono::hours(24));
  EXPECT_FALSE(c.server.peer_certificate());
}

TEST_P(both_versions, large_writes_go_both_ways_at_the_same_time) {
  handshake_result c = connection();
  constexpr std::size_t size = 3'000'000;
  const auto exchange = [](tls_stream& s, std::uint64_t sent_seed, std::uint64_t got_seed) {
    auto writing = spawn([&s, sent_seed] {
      s.write_all(pattern(sent_seed).take(size));
      s.shutdown(direction::write);
    });
    std::vector<unsigned char> got(size);
    s.read_exactly(got);
    EXPECT_TRUE(got == pattern(got_seed).take(size));
    EXPECT_EQ(0u, drain(s));
    writing.get();
  };
  auto far_side = spawn([&] { exchange(c.server, 2, 1); });
  exchange(c.client, 1, 2);
  far_side.get();
}

TEST_P(both_versions, large_writes_of_many_connections_and_threads_do_not_mix) {
  constexpr std::size_t size = 300'000;
  constexpr std::uint64_t threads = 2;
  constexpr std::uint64_t connections = 5;
  const auto exchange = [&](std::uint64_t seed) {
    handshake_result c = narrow_connection();
    auto writing = spawn([&] { c.server.write_all(pattern(seed).take(size)); });
    std::vector<unsigned char> got(size);
    c.client.read_exactly(got);
    EXPECT_TRUE(got == pattern(seed).take(size));
    writing.get();
  };
  std::vector<std::jthread> all;
  for (std::uint64_t t = 0; t < threads; ++t) {
    all.emplace_back([&, t] {
      group exchanges;
      for (std::uint64_t i = 0; i < connections; ++i) {
        exchanges.spawn([&, i] { exchange(1 + t * connections + i); });
      }
      exchanges.join();
    });
  }
}

TEST_P(both_versions, records_of_one_byte_arrive) {
  handshake_result c = connection();
  const auto sent = pattern(7).take(2000);
  auto writing = spawn([&] {
    for (const unsigned char& each : sent) c.client.write_all({&each, 1});
    c.client.shutdown(direction::write);
  });
  std::vector<unsigned char> got(sent.size());
  c.server.read_exactly(got);
  EXPECT_TRUE(got == sent);
  EXPECT_EQ(0u, drain(c.server));
  writing.get();
}

TEST_P(both_versions, the_end_that_is_said_is_an_end_and_writing_the_other_way_goes_on) {
  handshake_result c = connection();
  c.client.write_all("last");
  c.client.shutdown(direction::write);
  std::string got(4, ' ');
  c.server.read_exactly(got);
  EXPECT_EQ(got, "last");
  EXPECT_EQ(0u, c.server.read_some(got));
  EXPECT_EQ(0u, c.server.read_some(got));
  c.server.write_all("answ");
  c.client.read_exactly(got);
  EXPECT_EQ(got, "answ");
  EXPECT_EQ(thrown_by([&] { c.client.write_all("more"); }), std::errc::broken_pipe);
  c.server.close();
  EXPECT_EQ(0u, c.client.read_some(got));
}

TEST_P(both_versions, close_says_the_end_if_that_can_be_done_at_once) {
  handshake_result c = connection();
  expect_talk(c);
  c.client.close();
  char byte;
  EXPECT_EQ(0u, c.server.read_some({&byte, 1}));
  EXPECT_FALSE(c.client.is_open());
  EXPECT_EQ(thrown_by([&] { c.client.write_all("x"); }), std::errc::bad_file_descriptor);
}

TEST_P(both_versions, a_connection_that_is_cut_is_no_end) {
  handshake_result c = connection();
  expect_talk(c);
  c.client.write_all("half");
  ::shutdown(c.client.native_handle(), SHUT_WR);
  std::string got(4, ' ');
  c.server.read_exactly(got);
  EXPECT_EQ(got, "half");
  EXPECT_EQ(thrown_by([&] { c.server.read_some(got); }), tls_errc::truncated);
  EXPECT_EQ(thrown_by([&] { c.server.read_some(got); }), tls_errc::truncated) << "again";
  EXPECT_TRUE(text_thrown_by([&] { c.server.read_some(got); }).ends_with("(close_notify)"));
}

TEST_P(both_versions, a_reset_is_a_reset) {
  handshake_result c = connection();
  expect_talk(c);
  auto reading = spawn([&] {
    char byte;
    return thrown_by([&] { c.server.read_some({&byte, 1}); });
  });
  this_fiber::yield();
  reset(c.client);
  EXPECT_EQ(reading.get(), std::errc::connection_reset);
}

TEST_P(both_versions, a_deadline_of_a_read_leaves_the_stream_as_it_was) {
  handshake_result c = connection();
  expect_talk(c);
  char byte;
  const stopwatch since;
  c.client.reads_expire_after(100ms);
  EXPECT_EQ(thrown_by([&] { c.client.read_some({&byte, 1}); }), std::errc::timed_out);
  expect_lasted(since, 100ms);
  c.client.expires_after(patience);
  expect_talk(c);
}

TEST_P(both_versions, a_kill_of_a_reader_leaves_the_stream_as_it_was) {
  handshake_result c = connection();
  expect_talk(c);
  auto reading = spawn([&] {
    char byte;
    c.client.read_some({&byte, 1});
  });
  this_fiber::yield();
  reading.kill();
  expect_talk(c);
}

TEST_P(both_versions, what_a_write_counts_before_its_deadline_arrives_once) {
  handshake_result c = narrow_connection();
  const auto sent = pattern(3).take(300'000);
  c.client.writes_expire_after(50ms);
  std::error_code ec;
  std::size_t count = c.client.write_all(sent, ec);
  EXPECT_EQ(ec, std::errc::timed_out);
  EXPECT_GT(count, 0u);
  EXPECT_LT(count, sent.size());
  c.client.expires_after(patience);
  auto writing = spawn([&] {
    c.client.write_all({sent.data() + count, sent.size() - count});
    c.client.shutdown(direction::write);
  });
  std::vector<unsigned char> got(sent.size());
  c.server.read_exactly(got);
  EXPECT_TRUE(got == sent);
  EXPECT_EQ(0u, drain(c.server));
  writing.get();
}

TEST_P(both_versions, a_kill_of_a_writer_leaves_whole_records) {
  handshake_result c = narrow_connection();
  const std::vector<char> block(100'000, 'a');
  auto writing = spawn([&] {
    for (;;) c.client.write_all(block);
  });
  for (int i = 0; i < 10; ++i) this_fiber::yield();
  writing.kill();
  auto ending = spawn([&] {
    c.client.write_all("b");
    c.client.shutdown(direction::write);
  });
  std::string got(1 << 16, ' ');
  std::string all;
  while (const std::size_t more = c.server.read_some(got)) all.append(got, 0, more);
  ending.get();
  EXPECT_EQ(all.find('b'), all.size() - 1);
  EXPECT_EQ(static_cast<std::size_t>(std::count(all.begin(), all.end(), 'a')), all.size() - 1);
}

TEST_P(both_versions, a_writer_who_waits_does_not_stop_the_reader) {
  handshake_result c = narrow_connection();
  auto stuck = spawn([&] {
    std::error_code ec;
    c.client.write_all(std::vector<char>(4'000'000), ec);
    return ec;
  });
  this_fiber::yield();
  char got[5];
  for (int i = 0; i < 100; ++i) {
    c.server.write_all("hello");
    c.client.read_exactly({got, 5});
  }
  EXPECT_FALSE(stuck.ready());
  c.client.close();
  EXPECT_EQ(stuck.get(), std::errc::bad_file_descriptor);
}

TEST_P(both_versions, close_wakes_readers_and_writers_who_wait) {
  handshake_result c = connection();
  fill(c.client);
  std::vector<fiber<std::error_code>> waiting;
  for (int i = 0; i < 3; ++i) {
    waiting.push_back(spawn([&] {
      char byte;
      return thrown_by([&] { c.client.read_some({&byte, 1}); });
    }));
    waiting.push_back(spawn([&] { return thrown_by([&] { c.client.write_all("x"); }); }));
  }
  this_fiber::yield();
  c.client.close();
  for (auto& each : waiting) EXPECT_EQ(each.get(), std::errc::bad_file_descriptor);
}

TEST_P(both_versions, several_readers_and_writers_are_served_one_after_another) {
  handshake_result c = connection();
  constexpr int fibers = 8;
  constexpr int rounds = 50;
  std::vector<fiber<>> all;
  std::size_t sum = 0;
  for (int i = 0; i < fibers; ++i) {
    all.push_back(spawn([&, i] {
      for (int round = 0; round < rounds; ++round) {
        const unsigned char sent = static_cast<unsigned char>(i);
        c.client.write_all({&sent, 1});
        this_fiber::yield();
      }
    }));
    all.push_back(spawn([&] {
      for (int round = 0; round < rounds; ++round) {
        unsigned char got;
        c.server.read_exactly({&got, 1});
        sum += got;
      }
    }));
  }
  joinall(all);
  EXPECT_EQ(sum, std::size_t{fibers * (fibers - 1) / 2 * rounds});
}

TEST_P(both_versions, small_parts_share_a_record_and_large_ones_arrive) {
  handshake_result c = connection();
  const std::string head = "head: ";
  c.client.write_parts({head, "body", "", "tail"});
  std::string got(100, ' ');
  EXPECT_EQ(14u, c.server.read_some(got)) << "one record";
  EXPECT_EQ(got.substr(0, 14), "head: bodytail");
  const auto large = pattern(9).take(100'000);
  auto writing = spawn([&] { EXPECT_EQ(100'010u, c.client.write_parts({head, large, "tail"})); });
  std::vector<unsigned char> bytes(100'010);
  c.server.read_exactly(bytes);
  writing.get();
  EXPECT_TRUE(std::equal(large.begin(), large.end(), bytes.begin() + 6));
  EXPECT_EQ(std::string(bytes.end() - 4, bytes.end()), "tail");
}

TEST_P(both_versions, shutdown_of_reading_ends_reads_and_leaves_writes) {
  handshake_result c = connection();
  auto reading = spawn([&] {
    char byte;
    return c.client.read_some({&byte, 1});
  });
  this_fiber::yield();
  c.client.shutdown(direction::read);
  EXPECT_EQ(0u, reading.get());
  c.client.write_all("still");
  std::string got(5, ' ');
  c.server.read_exactly(got);
  EXPECT_EQ(got, "still");
}

TEST_P(both_versions, unix_sockets_carry_it_too) {
  auto [near, far] = unix_stream::pair();
  tls_stream client(std::move(near), tls_context::client(of_version(client_options(), GetParam())),
                    "localhost");
  tls_stream server(std::move(far), tls_context::server(server_options()));
  auto serving = spawn([&] { server.handshake(patience); });
  client.handshake(patience);
  serving.get();
  handshake_result c{std::move(client), std::move(server), {}, {}};
  expect_talk(c);
}

TEST_P(both_versions, waiting_for_bytes_means_those_of_the_other_program) {
  handshake_result c = connection();
  std::error_code ec;
  c.client.reads_expire_after(0s);
  EXPECT_FALSE(c.client.wait_readable(ec));  // with tickets on their way, or come
  EXPECT_EQ(ec, std::errc::timed_out);
  expect_talk(c);
  auto later = spawn([&] { c.server.write_all("x"); });
  c.client.reads_expire_after(patience);
  EXPECT_TRUE(c.client.wait_readable());
  char got;
  EXPECT_EQ(1u, c.client.read_some({&got, 1}));
  EXPECT_EQ('x', got);
  auto end = spawn([&] { c.server.close(); });
  EXPECT_FALSE(c.client.wait_readable());
  EXPECT_EQ(0u, c.client.read_some({&got, 1}));
}

TEST(tls_stream, empty_and_moved_from_streams_are_closed) {
  tls_stream empty;
  EXPECT_FALSE(empty.is_open());
  EXPECT_EQ(thrown_by([&] { empty.handshake(); }), std::errc::bad_file_descriptor);
  EXPECT_EQ(thrown_by([&] { empty.write_all("x"); }), std::errc::bad_file_descriptor);
  EXPECT_EQ(thrown_by([&] { empty.shutdown(direction::both); }), std::errc::bad_file_descriptor);
  EXPECT_FALSE(empty.peer_certificate());
  EXPECT_EQ(empty.version(), "");
  handshake_result c = secure_connection();
  tls_stream moved = std::move(c.client);
  EXPECT_FALSE(c.client.is_open());
  c.client = std::move(moved);
  c.client.expires_after(patience);
  expect_talk(c);
}

TEST(tls_stream, nothing_goes_before_the_handshake) {
  auto ends = tcp_connection();
  tls_stream client(std::move(ends.near), tls_context::client(client_options()), "localhost");
  char byte;
  EXPECT_EQ(thrown_by([&] { client.read_some({&byte, 1}); }), tls_errc::no_handshake);
  EXPECT_EQ(thrown_by([&] { client.write_all("x"); }), tls_errc::no_handshake);
  EXPECT_EQ(thrown_by([&] { client.shutdown(direction::write); }), tls_errc::no_handshake);
}

TEST(tls_stream, no_descriptor_and_no_fiber_is_left_behind) {
  secure_connection();
  const std::size_t before = open_descriptors();
  for (int i = 0; i < 20; ++i) {
    handshake_result c = secure_connection();
    expect_talk(c);
  }
  EXPECT_EQ(before, open_descriptors());
}

TEST(tls_stream, a_child_that_came_by_fork_does_not_end_the_parents_connection) {
  handshake_result c = secure_connection();
  expect_talk(c);
  const pid_t child = fork();
  if (child == 0) {
    c.client.close();
    _exit(0);
  }
  int status = -1;
  offload([&] { waitpid(child, &status, 0); });
  EXPECT_EQ(0, status);
  expect_talk(c);
}

/// A relay that hands on as few bytes at a time as may be.
void trickle(tcp_stream& from, tcp_stream& to) {
  std::error_code ec;
  char byte;
  while (from.read_some({&byte, 1}, ec) == 1 && !ec) {
    to.write_all({&byte, 1}, ec);
    if (ec) return;
    this_fiber::yield();
  }
}

TEST_P(both_versions, a_peer_that_sends_byte_by_byte_is_understood) {
  auto one = tcp_connection();
  auto other = tcp_connection();
  tls_stream client(std::move(one.near),
                    tls_context::client(of_version(client_options(), GetParam())), "localhost");
  tls_stream server(std::move(other.far), tls_context::server(server_options()));
  auto there = spawn([&] { trickle(one.far, other.near); });
  auto back = spawn([&] { trickle(other.near, one.far); });
  auto serving = spawn([&] { server.handshake(patience); });
  client.handshake(patience);
  handshake_result c{std::move(client), {}, {}, {}};
  // The reader is in the middle of the tickets that follow the handshake while the writer begins.
  auto reading = spawn([&] {
    std::string got(4, ' ');
    c.client.read_exactly(got);
    return got;
  });
  c.client.write_all("ping");
  serving.get();
  std::string got(4, ' ');
  server.read_exactly(got);
  server.write_all(got);
  EXPECT_EQ(reading.get(), "ping");
  there.kill();
  back.kill();
}

}  // namespace
}  // namespace coir::net::test
