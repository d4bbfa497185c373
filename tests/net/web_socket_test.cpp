// WebSockets against ourselves: messages, closes, compression, deadlines, kills, silent peers.
#include "tests/net/web_socket_support.hpp"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>

namespace coir::net::test {
namespace {

TEST(web_socket, texts_and_bytes_of_all_sizes_come_back_unchanged) {
  ws_server server;
  web_socket ws = connected(server);
  for (const std::size_t size : {0u, 1u, 125u, 126u, 65'535u, 65'536u, 300'001u, 1u << 20}) {
    const std::vector<unsigned char> sent = pattern(size).take(size);
    ws.write_binary(sent);
    const auto got = ws.read();
    ASSERT_TRUE(got);
    EXPECT_FALSE(got->is_text);
    EXPECT_TRUE(std::ranges::equal(
        got->data, sent, [](char a, unsigned char b) { return a == static_cast<char>(b); }));
  }
  ws.write_text("größer, 日本");
  const auto text = ws.read();
  EXPECT_TRUE(text->is_text);
  EXPECT_EQ("größer, 日本", text->data);
  EXPECT_TRUE(ws.close());
  EXPECT_EQ(close_code::normal, ws.peer_code());
  server.await_end();
  EXPECT_FALSE(server.error);
}

TEST(web_socket, close_carries_its_code_and_reason) {
  ws_server server([](web_socket& ws) {
    EXPECT_FALSE(ws.read());
    EXPECT_FALSE(ws.read());  // and again
    EXPECT_FALSE(ws.is_open());
    EXPECT_EQ(web_socket_errc::closing, thrown_by([&] { ws.write_text("late"); }));
  });
  web_socket ws = connected(server);
  EXPECT_TRUE(ws.close(4001, "enough"));
  EXPECT_FALSE(ws.is_open());
  EXPECT_EQ(4001, ws.peer_code());
  EXPECT_TRUE(ws.close());
  server.await_end();
  EXPECT_EQ(4001, server.peer_code);
  EXPECT_EQ("enough", server.peer_reason);
}

TEST(web_socket, a_close_of_the_server_ends_the_clients_read) {
  ws_server server([](web_socket& ws) { EXPECT_TRUE(ws.close(close_code::going_away, "stop")); });
  web_socket ws = connected(server);
  EXPECT_FALSE(ws.read());
  EXPECT_EQ(close_code::going_away, ws.peer_code());
  EXPECT_EQ("stop", ws.peer_reason());
}

TEST(web_socket, close_ends_the_read_of_another_fiber) {
  ws_server server;
  web_socket ws = connected(server);
  auto reader = spawn([&] { EXPECT_FALSE(ws.read()); });
  this_fiber::yield();
  EXPECT_EQ(std::errc::operation_in_progress, thrown_by([&] { ws.read(); }));
  EXPECT_TRUE(ws.close());
  reader.get();
}

TEST(web_socket, both_may_close_at_the_same_time) {
  ws_server server([](web_socket& ws) { EXPECT_TRUE(ws.close(4002)); });
  web_socket ws = connected(server);
  EXPECT_TRUE(ws.close(4003));
  EXPECT_EQ(4002, ws.peer_code());
  server.await_end();
  EXPECT_EQ(4003, server.peer_code);
}

TEST(web_socket, a_peer_that_does_not_answer_a_close_is_waited_for_no_longer_than_allowed) {
  web_socket_options how;
  how.close_timeout = 100ms;
  bool was_answered = true;
  std::chrono::steady_clock::duration took{};
  ws_server server(
      [&](web_socket& ws) {
        const stopwatch since;
        was_answered = ws.close();
        took = since.elapsed();
      },
      how);
  raw_client client(server.local_address());
  server.await_end();
  EXPECT_FALSE(was_answered);
  EXPECT_GE(took, 90ms);
  EXPECT_LE(took, patience / 2);
}

TEST(web_socket, subprotocols_origins_and_fields_are_agreed_on) {
  web_socket_options serving;
  serving.subprotocols = {"v2.chat", "v1.chat"};
  serving.accepts_origin = [](std::string_view origin) { return origin == "http://here"; };
  ws_server server(
      [](web_socket& ws) {
        ws.write_text(ws.subprotocol());
        ws.read();
      },
      serving);
  web_socket_options asking;
  asking.subprotocols = {"v0.chat", "v1.chat", "v2.chat"};
  asking.headers.add("Origin", "http://here");
  web_socket ws = connected(server, asking);
  EXPECT_EQ("v2.chat", ws.read()->data);
  EXPECT_EQ("v2.chat", ws.subprotocol());
  ws.close();

  asking.headers.set("Origin", "http://elsewhere");
  EXPECT_EQ(web_socket_errc::refused, thrown_by([&] { connected(server, asking); }));
  const std::string text = text_thrown_by([&] { connected(server, asking); });
  EXPECT_NE(std::string::npos, text.find("\"403 Forbidden\"")) << text;
  asking.headers.set("Origin", "http://here");
  asking.subprotocols = {"other"};
  web_socket plain = connected(server, asking);
  EXPECT_EQ("", plain.subprotocol());
}

TEST(web_socket, compression_is_agreed_on_and_messages_survive_it) {
  ws_server server(echo, compressing());
  web_socket ws = connected(server, compressing());
  EXPECT_TRUE(ws.is_compressed());
  std::string text;
  for (int i = 0; i < 20'000; ++i) text += "line " + std::to_string(i % 100) + "\n";
  for (const std::size_t size : {0ul, 1ul, 255ul, 256ul, 4096ul, text.size()}) {
    ws.write_text(text.substr(0, size));
    EXPECT_EQ(text.substr(0, size), ws.read()->data);
  }
  const std::vector<unsigned char> noise = pattern(9).take(200'000);
  ws.write_binary(noise);
  EXPECT_EQ(std::string(noise.begin(), noise.end()), ws.read()->data);
  ws.close();
  EXPECT_FALSE(connected(server).is_compressed());
}

TEST(web_socket, what_unpacks_to_more_than_is_allowed_is_refused) {
  web_socket_options how = compressing();
  how.message_bytes_max = 10'000;
  ws_server server(echo, how);
  web_socket ws = connected(server, compressing());
  ws.write_text(std::string(10'000, 'x'));
  EXPECT_EQ(10'000u, ws.read()->data.size());
  ws.write_text(std::string(10'001, 'x'));
  EXPECT_FALSE(ws.read());
  EXPECT_EQ(close_code::too_big, ws.peer_code());
  server.await_end();
  EXPECT_EQ(web_socket_errc::too_big, server.error);
}

TEST(web_socket, pings_are_answered_while_a_message_is_on_its_way) {
  // The peer reads nothing while it pings: the answers must wait behind the message, whole.
  constexpr std::size_t size = 8 << 20;
  ws_server server([](web_socket& ws) {
    auto writer = spawn([&] { ws.write_binary(std::vector<char>(size, 'm')); });
    EXPECT_FALSE(ws.read());
    writer.get();
  });
  web_socket_options how;
  how.message_bytes_max = size;
  web_socket ws = connected(server, how);
  for (int i = 0; i < 50; ++i) ws.ping("number " + std::to_string(i));
  const auto got = ws.read();
  ASSERT_TRUE(got);
  EXPECT_EQ(std::string(size, 'm'), got->data);
  EXPECT_TRUE(ws.close());
  EXPECT_EQ("number 49", ws.last_pong());
  server.await_end();
  EXPECT_FALSE(server.error);
}

TEST(web_socket, many_writers_and_a_reader_share_one_connection) {
  ws_server server;
  web_socket ws = connected(server);
  constexpr int writers = 8, messages = 40;
  std::vector<fiber<>> fibers;
  for (int w = 0; w < writers; ++w) {
    fibers.push_back(spawn([&ws, w] {
      for (int i = 0; i < messages; ++i) {
        ws.write_text(std::string(1000u * static_cast<unsigned>(i), static_cast<char>('a' + w)));
        if (i % 10 == 0) ws.ping("now");
      }
    }));
  }
  std::size_t bytes = 0;
  for (int i = 0; i < writers * messages; ++i) {
    const auto got = ws.read();
    ASSERT_TRUE(got);
    EXPECT_EQ(std::string::npos, got->data.find_first_not_of(got->data.substr(0, 1)));
    bytes += got->data.size();
  }
  EXPECT_EQ(writers * 1000u * (messages * (messages - 1) / 2), bytes);
  joinall(fibers);
  EXPECT_TRUE(ws.close());
}

TEST(web_socket, neither_a_deadline_nor_a_kill_of_a_read_harms_the_connection) {
  ws_server server;
  raw_client client(server.local_address());
  client.send(0x81, "ready");
  EXPECT_EQ("ready", client.receive().second);

  auto both = unix_stream::pair();
  auto serving = spawn([far = std::move(both.second)]() mutable {
    serve_http(far, address::ipv4_loopback(), [](http_request& asked, http_response& answer) {
      web_socket ws = web_socket::accept(asked, answer);
      const std::string whole = "in two parts";
      ws.read();
      ws.write_text(whole);
      ws.read();
    });
  });
  web_socket ws(std::make_unique<unix_stream>(std::move(both.first)), "ws://local/");
  ws.reads_expire_after(50ms);
  EXPECT_EQ(std::errc::timed_out, thrown_by([&] { ws.read(); }));
  ws.expires_after(patience);
  auto reader = spawn([&] { ws.read(); });
  this_fiber::yield();
  reader.kill();
  EXPECT_TRUE(ws.is_open());
  ws.write_text("go");
  EXPECT_EQ("in two parts", ws.read()->data);
  EXPECT_TRUE(ws.close());
  serving.get();
}

TEST(web_socket, a_deadline_in_the_middle_of_a_message_ends_the_writing_only) {
  ws_server server([](web_socket& ws) {
    ws.writes_expire_after(100ms);
    EXPECT_EQ(std::errc::timed_out,
              thrown_by([&] { ws.write_binary(std::vector<char>(64 << 20)); }));
    ws.expires_after(patience);
    EXPECT_EQ(web_socket_errc::broken, thrown_by([&] { ws.write_text("more"); }));
    EXPECT_EQ("still read", ws.read()->data);
    EXPECT_FALSE(ws.close());
  });
  raw_client client(server.local_address());
  client.send(0x81, "still read");
  server.await_end();
  EXPECT_FALSE(server.error);
}

TEST(web_socket, a_kill_in_the_middle_of_a_message_ends_the_writing_only) {
  ws_server server([](web_socket& ws) {
    auto writer = spawn([&] { ws.write_binary(std::vector<char>(64 << 20)); });
    EXPECT_EQ("first", ws.read()->data);
    writer.kill();
    EXPECT_EQ(web_socket_errc::broken, thrown_by([&] { ws.write_text("more"); }));
    EXPECT_EQ(web_socket_errc::broken, thrown_by([&] { ws.ping(); }));
    EXPECT_EQ("second", ws.read()->data);
  });
  raw_client client(server.local_address());
  client.send(0x81, "first");
  EXPECT_EQ(0x82, static_cast<unsigned char>(client.byte()));
  client.send(0x81, "second");
  server.await_end();
  EXPECT_FALSE(server.error);
}

TEST(web_socket, a_silent_peer_is_asked_and_one_that_answers_stays) {
  web_socket_options how;
  how.idle_timeout = 1s;  // half of it is what the answer may take
  ws_server server(echo, how);
  web_socket ws = connected(server);
  ws.reads_expire_after(1700ms);  // answers pings meanwhile
  EXPECT_EQ(std::errc::timed_out, thrown_by([&] { ws.read(); }));
  ws.expires_after(patience);
  ws.write_text("here");
  EXPECT_EQ("here", ws.read()->data);
}

TEST(web_socket, a_peer_that_answers_no_ping_has_vanished) {
  web_socket_options how;
  how.idle_timeout = 200ms;
  ws_server server(echo, how);
  raw_client client(server.local_address());
  EXPECT_EQ(0x89u, client.receive().first);
  server.await_end();
  EXPECT_EQ(web_socket_errc::vanished, server.error);
  EXPECT_EQ(close_code::abnormal, server.peer_code);
  EXPECT_EQ(0u, drain(client.wire));
}

TEST(web_socket, a_peer_that_goes_without_a_word_has_vanished) {
  ws_server server;
  { raw_client client(server.local_address()); }
  server.await_end();
  EXPECT_EQ(web_socket_errc::vanished, server.error);
}

TEST(web_socket, fragments_become_one_message_with_control_frames_between_them) {
  ws_server server;
  raw_client client(server.local_address());
  client.send(0x01, "one \xe2\x82");
  client.send(0x89, "ping");
  client.send(0x00, "");
  client.send(0x80, "\xac two");
  EXPECT_EQ(std::pair(0x8au, std::string("ping")), client.receive());
  EXPECT_EQ(std::pair(0x81u, std::string("one \xe2\x82\xac two")), client.receive());
  client.send(0x88, close_payload(1000, "done"));
  EXPECT_EQ(1000u, client.close_received());
  server.await_end();
  EXPECT_EQ("done", server.peer_reason);
}

TEST(web_socket, a_message_that_comes_byte_by_byte_is_whole) {
  ws_server server;
  raw_client client(server.local_address());
  for (const char c : raw_client::frame(0x82, std::string(200, 'z'))) {
    client.wire.write_all({&c, 1});
    this_fiber::yield();
  }
  EXPECT_EQ(0x82, static_cast<unsigned char>(client.byte()));
  EXPECT_EQ(126, static_cast<unsigned char>(client.byte()));
}

TEST(web_socket, a_frame_that_came_with_the_request_is_not_lost) {
  ws_server server;
  tcp_stream wire = tcp_stream::connect(server.local_address(), patience);
  wire.expires_after(patience);
  wire.write_all(
      "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\n"
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" +
      raw_client::frame(0x81, "early"));
  std::string got;
  while (
      !got.ends_with("\x81\x05"
                     "early")) {
    char c;
    wire.read_exactly({&c, 1});
    got += c;
  }
  // The example of RFC 6455, section 1.3.
  EXPECT_NE(std::string::npos, got.find("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")) << got;
}

}  // namespace
}  // namespace coir::net::test
