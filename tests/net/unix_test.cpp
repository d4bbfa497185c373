// Making unix connections, and unix datagrams.
#include "tests/net/support.hpp"

#include <array>
#include <fstream>

#include <sys/wait.h>

namespace coir::net::test {
namespace {

namespace fs = std::filesystem;

class unix_test : public testing::Test {
 protected:
  scratch_directory directory;
  const std::string path = directory / "socket";
  const address where = address::unix_path(path);
};

using unix_listener_test = unix_test;
using unix_datagram_test = unix_test;

void expect_exchange(unix_listener& listener, const address& where) {
  listener.expires_after(patience);
  unix_stream client = unix_stream::connect(where);
  unix_stream server = listener.accept();
  client.write_all("over unix");
  std::string got(9, '\0');
  server.read_exactly(got);
  EXPECT_EQ("over unix", got);
}

TEST_F(unix_listener_test, path_leads_to_the_listener) {
  unix_listener listener = unix_listener::listen(where);
  EXPECT_EQ(where, listener.local_address());
  expect_exchange(listener, where);
}

TEST_F(unix_listener_test, abstract_name_leads_to_the_listener) {
  const address name = address::unix_abstract("coir-net-test-" + std::to_string(getpid()));
  unix_listener listener = unix_listener::listen(name);
  EXPECT_EQ(name, listener.local_address());
  expect_exchange(listener, name);
}

TEST_F(unix_listener_test, client_without_a_name_is_told_as_unnamed) {
  unix_listener listener = unix_listener::listen(where);
  const unix_stream client = unix_stream::connect(where);
  address peer;
  const unix_stream server = listener.accept(peer);
  EXPECT_EQ("unix:", peer.to_string());
  EXPECT_EQ(where, client.peer_address());
}

TEST_F(unix_listener_test, close_removes_the_path) {
  unix_listener listener = unix_listener::listen(where);
  EXPECT_TRUE(fs::exists(path));
  listener.close();
  EXPECT_FALSE(fs::exists(path));
}

TEST_F(unix_listener_test, destruction_removes_the_path) {
  {
    unix_listener first = unix_listener::listen(where);
    const unix_listener moved = std::move(first);
    EXPECT_TRUE(fs::exists(path));
  }
  EXPECT_FALSE(fs::exists(path));
}

TEST_F(unix_listener_test, path_stays_when_asked_for) {
  unix_listener::options how;
  how.unlink_on_close = false;
  unix_listener::listen(where, how).close();
  EXPECT_TRUE(fs::exists(path));
  EXPECT_EQ("listen on unix:" + path + ": Address already in use",
            text_thrown_by([&] { unix_listener::listen(where); }));
}

TEST_F(unix_listener_test, file_that_somebody_else_put_there_stays) {
  unix_listener listener = unix_listener::listen(where);
  fs::rename(path, directory / "elsewhere");
  std::ofstream(path) << "not a socket";
  listener.close();
  EXPECT_TRUE(fs::exists(path));
}

TEST_F(unix_listener_test, child_process_does_not_remove_the_path) {
  unix_listener listener = unix_listener::listen(where);
  const pid_t child = fork();
  if (child == 0) {
    { const unix_listener gone = std::move(listener); }
    _exit(fs::exists(path) ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(child, waitpid(child, &status, 0));
  EXPECT_EQ(0, status);
  expect_exchange(listener, where);
}

TEST_F(unix_listener_test, released_descriptor_keeps_its_path) {
  unix_listener listener = unix_listener::listen(where);
  unix_listener adopted = unix_listener::adopt(listener.release());
  listener.close();
  expect_exchange(adopted, where);
  adopted.close();
  EXPECT_TRUE(fs::exists(path));
}

TEST_F(unix_listener_test, failed_listen_leaves_the_path_alone) {
  const unix_listener first = unix_listener::listen(where);
  std::error_code ec;
  unix_listener::listen(where, ec);
  EXPECT_EQ(std::errc::address_in_use, ec);
  EXPECT_TRUE(fs::exists(path));
}

TEST_F(unix_listener_test, close_while_another_fiber_accepts_gives_it_ebadf_promptly) {
  unix_listener listener = unix_listener::listen(where);
  auto accepting = spawn([&] { return thrown_by([&] { listener.accept(); }); });
  this_fiber::yield();
  const stopwatch since;
  listener.close();
  EXPECT_EQ(std::errc::bad_file_descriptor, accepting.get_for(patience));
  EXPECT_LT(since.elapsed(), promptly);
}

TEST_F(unix_listener_test, connect_waits_while_the_queue_is_full) {
  unix_listener::options how;
  how.backlog = 0;
  unix_listener listener = unix_listener::listen(where, how);
  const unix_stream first = unix_stream::connect(where);
  const stopwatch since;
  std::error_code ec;
  unix_stream::connect(where, 100ms, ec);
  EXPECT_EQ(std::errc::timed_out, ec);
  expect_lasted(since, 100ms);
  auto connecting = spawn([&] { return unix_stream::connect(where).is_open(); });
  this_fiber::yield();
  EXPECT_FALSE(connecting.ready());
  const unix_stream accepted = listener.accept();
  EXPECT_TRUE(connecting.get_for(patience));
}

TEST_F(unix_listener_test, connect_to_a_full_queue_ends_by_close_and_by_kill) {
  unix_listener::options how;
  how.backlog = 0;
  unix_listener listener = unix_listener::listen(where, how);
  const unix_stream first = unix_stream::connect(where);
  unix_stream closed;
  auto opening = spawn([&] { return thrown_by([&] { closed.open(where); }); });
  auto killed = spawn([&] { unix_stream::connect(where); });
  this_fiber::yield();
  const stopwatch since;
  closed.close();
  killed.kill();
  EXPECT_EQ(std::errc::bad_file_descriptor, opening.get_for(patience));
  EXPECT_LT(since.elapsed(), promptly);
}

TEST_F(unix_listener_test, connect_to_nobody_says_what_was_attempted) {
  EXPECT_EQ("connect to unix:" + path + ": No such file or directory",
            text_thrown_by([&] { unix_stream::connect(where); }));
  EXPECT_EQ(std::errc::address_family_not_supported,
            thrown_by([] { unix_stream::connect(address::ipv4_loopback(1)); }));
}

TEST_F(unix_datagram_test, datagrams_keep_their_borders) {
  auto [near, far] = unix_datagram::pair();
  near.send("one");
  near.send("");
  near.send("three");
  std::array<char, 16> bytes;
  EXPECT_EQ(3u, far.receive(bytes).size);
  EXPECT_EQ(0u, far.receive(bytes).size);
  EXPECT_EQ("three", std::string(bytes.data(), far.receive(bytes).size));
}

TEST_F(unix_datagram_test, sender_is_told_and_can_be_answered) {
  unix_datagram server = unix_datagram::bind(where);
  unix_datagram client = unix_datagram::bind(address::unix_path(directory / "client"));
  client.send_to("question", where);
  std::array<char, 16> bytes;
  address from;
  EXPECT_EQ(8u, server.receive_from(bytes, from).size);
  server.send_to("answer", from);
  EXPECT_EQ("answer", std::string(bytes.data(), client.receive(bytes).size));
}

TEST_F(unix_datagram_test, sender_waits_for_a_full_receiver_and_nothing_is_lost) {
  auto [near, far] = unix_datagram::pair();
  constexpr int count = 5000;
  auto sending = spawn([&s = near] {
    for (int i = 0; i < count; ++i) s.send(std::to_string(i));
  });
  this_fiber::yield();
  EXPECT_FALSE(sending.ready());
  far.expires_after(patience);
  std::array<char, 16> bytes;
  for (int i = 0; i < count; ++i) {
    ASSERT_EQ(std::to_string(i), std::string(bytes.data(), far.receive(bytes).size));
  }
  EXPECT_TRUE(sending.join_for(patience));
}

TEST_F(unix_datagram_test, send_to_a_full_receiver_ends_at_its_deadline) {
  const unix_datagram server = unix_datagram::bind(where);
  unix_datagram client = unix_datagram::unbound();
  client.expires_after(200ms);
  const stopwatch since;
  std::error_code ec;
  while (!ec) client.send_to("x", where, ec);
  EXPECT_EQ(std::errc::timed_out, ec);
  expect_lasted(since, 200ms);
}

}  // namespace
}  // namespace coir::net::test
