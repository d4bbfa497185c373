// datagram_server: what it serves, how it fails, and how it stops.
#include "tests/net/server_support.hpp"

#include <coir/net/datagram_server.hpp>

#include <set>

namespace coir::net::test {
namespace {

const address loopback = address::ipv4_loopback();

void echo_datagram(const datagram& got) { got.reply(got.bytes()); }

udp_socket client_of_udp(const address& where) {
  udp_socket client = udp_socket::connected_to(where);
  client.expires_after(patience);
  return client;
}

std::string ask(datagram_socket& client, std::string_view question) {
  client.send(question);
  std::string answer(70'000, '\0');
  answer.resize(client.receive(answer).size);
  return answer;
}

TEST(datagram_server, it_answers_each_datagram_on_udp_and_unix) {
  const scratch_directory folder;
  const address path = address::unix_path(folder / "server");
  const address own = address::unix_path(folder / "client");
  datagram_server server({loopback, path}, echo_datagram);
  server.start();
  ASSERT_EQ(2u, server.local_addresses().size());
  udp_socket udp = client_of_udp(server.local_address());
  EXPECT_EQ("one", ask(udp, "one"));
  EXPECT_EQ("", ask(udp, ""));
  unix_datagram by_path = unix_datagram::bind(own);
  by_path.expires_after(patience);
  by_path.connect(path);
  EXPECT_EQ("two", ask(by_path, "two"));
  EXPECT_EQ(3u, server.counters().accepted);
  server.stop();
  EXPECT_FALSE(std::filesystem::exists(folder / "server"));
  udp_socket::bind(server.local_address());  // nobody else has it
}

TEST(datagram_server, a_socket_that_is_bound_is_served) {
  udp_socket bound = udp_socket::bind(loopback);
  const address where = bound.local_address();
  datagram_server server(std::move(bound), echo_datagram);
  server.start();
  udp_socket client = client_of_udp(where);
  EXPECT_EQ("hello", ask(client, "hello"));
}

TEST(datagram_server, what_makes_no_sense_is_refused) {
  datagram_server::options how;
  how.size_max = 0;
  EXPECT_THROW(datagram_server(loopback, echo_datagram, how), std::invalid_argument);
  EXPECT_THROW(datagram_server(std::vector<address>(), echo_datagram), std::invalid_argument);
  udp_socket taken = udp_socket::bind(loopback);
  datagram_server server(taken.local_address(), echo_datagram);
  EXPECT_EQ("bind to " + taken.local_address().to_string() + ": Address already in use",
            text_thrown_by([&] { server.start(); }));
}

TEST(datagram_server, what_is_too_long_is_cut_off_and_told) {
  datagram_server::options how;
  how.size_max = 10;
  datagram_server server(
      loopback,
      [](const datagram& got) {
        got.reply(std::string(got.is_truncated() ? "cut from " : "whole ") +
                  std::to_string(got.full_size()) + " " + std::string(got.bytes()));
      },
      how);
  server.start();
  udp_socket client = client_of_udp(server.local_address());
  EXPECT_EQ("whole 10 0123456789", ask(client, "0123456789"));
  EXPECT_EQ("cut from 12 0123456789", ask(client, "0123456789AB"));
  EXPECT_EQ(1u, server.counters().truncated);
}

TEST(datagram_server, no_more_are_in_flight_than_allowed) {
  event go;
  int most = 0;
  int now = 0;
  datagram_server::options how;
  how.max_in_flight = 3;
  datagram_server server(
      loopback,
      [&](const datagram& got) {
        most = std::max(most, ++now);
        go.wait();
        --now;
        got.reply(got.bytes());
      },
      how);
  server.start();
  udp_socket client = client_of_udp(server.local_address());
  for (int i = 0; i < 10; ++i) client.send("x");
  ASSERT_TRUE(eventually([&] { return now == 3; }));
  coir::sleep(20ms);
  EXPECT_EQ(3u, server.counters().active);
  go.set();
  char byte;
  for (int i = 0; i < 10; ++i) client.receive(mutable_buffer(&byte, 1));
  EXPECT_EQ(3, most);
}

TEST(datagram_server, in_turn_means_in_order_and_in_one_fiber) {
  std::set<std::uint64_t> fibers;
  std::string seen;
  datagram_server::options how;
  how.in_turn = true;
  datagram_server server(
      loopback,
      [&](const datagram& got) {
        fibers.insert(this_fiber::id());
        this_fiber::yield();
        seen += got.bytes();
        if (got.bytes() == "!") throw std::runtime_error("no such luck");
        got.reply(seen);
      },
      how);
  server.start();
  testing::internal::CaptureStderr();
  udp_socket client = client_of_udp(server.local_address());
  for (const char* each : {"a", "b", "!", "c"}) client.send(each);
  std::string answer(10, '\0');
  for (int i = 0; i < 3; ++i) answer = std::string(10, '\0'), client.receive(answer);
  EXPECT_EQ("ab!c", std::string(answer.c_str()));
  EXPECT_EQ(1u, fibers.size());
  EXPECT_EQ(1u, server.counters().errors);
  const std::string told = testing::internal::GetCapturedStderr();
  EXPECT_NE(told.npos, told.find("failed: no such luck\n")) << told;
}

TEST(datagram_server, stop_lets_handlers_answer_within_the_grace_and_kills_the_others) {
  event go;
  int begun = 0;
  datagram_server server(loopback, [&](const datagram& got) {
    ++begun;
    if (got.bytes() == "never") event().wait();
    go.wait();
    got.reply("late");
  });
  server.start();
  udp_socket client = client_of_udp(server.local_address());
  client.send("never");
  client.send("soon");
  ASSERT_TRUE(eventually([&] { return begun == 2; }));
  auto stopping = coir::spawn([&] { return server.stop(200ms); });
  auto serving = coir::spawn([&] { server.serve_forever(); });
  ASSERT_TRUE(eventually([&] { return !server.is_running(); }));
  client.send("too late");
  go.set();
  std::string answer(4, '\0');
  client.receive(answer);
  EXPECT_EQ("late", answer);
  EXPECT_EQ(1u, stopping.get());
  EXPECT_TRUE(serving.join_for(patience));
  EXPECT_EQ(2, begun);
  EXPECT_EQ(0u, server.stop());
}

TEST(datagram_server, a_handler_may_stop_its_own_server_whether_in_turn_or_not) {
  for (const bool in_turn : {false, true}) {
    datagram_server* served_by = nullptr;
    datagram_server::options how;
    how.in_turn = in_turn;
    datagram_server server(
        loopback,
        [&](const datagram& got) {
          served_by->stop();
          got.reply("stopped");
        },
        how);
    served_by = &server;
    server.start();
    udp_socket client = client_of_udp(server.local_address());
    EXPECT_EQ("stopped", ask(client, "stop"));
    server.serve_forever();
  }
}

TEST(datagram_server, several_workers_share_the_senders) {
  workers crew(2);
  std::atomic<int> served[2] = {};
  datagram_server::options how;
  how.on = &crew;
  datagram_server server(
      loopback,
      [&](const datagram& got) {
        ++served[workers::current_number()];
        got.reply(got.bytes());
      },
      how);
  server.start();
  EXPECT_EQ(1u, server.local_addresses().size());
  for (int i = 0; i < 200 && (!served[0] || !served[1]); ++i) {
    udp_socket client = client_of_udp(server.local_address());
    EXPECT_EQ("ping", ask(client, "ping"));
  }
  for (const auto& each : served) EXPECT_GT(each, 0);
  server.stop();
}

}  // namespace
}  // namespace coir::net::test
