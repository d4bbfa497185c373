// WebSockets against ourselves, against peers that break the protocol, and against Python's.
#include "tests/net/support.hpp"

#ifdef COIR_TEST_PYTHON
#include "tests/net/python.hpp"
#endif

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

namespace coir::net::test {
namespace {

using session = std::function<void(web_socket&)>;

void echo(web_socket& ws) {
  while (const auto message = ws.read()) {
    message->is_text ? ws.write_text(message->data) : ws.write_binary(message->data);
  }
}

/// An http_server whose handler makes each request a WebSocket; keeps what a session threw.
class ws_server {
 public:
  explicit ws_server(session serve = echo, web_socket_options how = {})
      : server_(address::ipv4_loopback(),
                [this, serve, how](http_request& asked, http_response& answer) {
                  web_socket ws = web_socket::accept(asked, answer, how);
                  try {
                    serve(ws);
                  } catch (const std::system_error& e) {
                    error = e.code();
                  }
                  peer_code = ws.peer_code();
                  peer_reason = ws.peer_reason();
                  ended.set();
                },
                {}) {
    server_.start();
  }
  ~ws_server() { server_.stop(); }

  std::string url() const { return "ws://" + server_.local_address().to_string() + "/chat?a=b"; }
  address local_address() const { return server_.local_address(); }
  void await_end() { ASSERT_TRUE(ended.wait_for(patience)); }

  std::error_code error;
  std::uint16_t peer_code = 0;
  std::string peer_reason;
  event ended;

 private:
  http_server server_;
};

web_socket connected(const ws_server& to, const web_socket_options& how = {}) {
  web_socket ws = web_socket::connect(to.url(), how);
  ws.expires_after(patience);
  return ws;
}

web_socket_options compressing() {
  web_socket_options how;
  how.compresses = true;
  return how;
}

/// A client that writes its bytes by hand.
class raw_client {
 public:
  explicit raw_client(const address& server, const std::string& more_fields = {})
      : wire(tcp_stream::connect(server, patience)) {
    wire.expires_after(patience);
    wire.write_all(
        "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
        more_fields + "\r\n");
    while (!answer.ends_with("\r\n\r\n")) answer += byte();
  }

  /// A frame with a mask of zeroes, and its size in the shortest form.
  static std::string frame(unsigned first, const std::string& payload) {
    std::string bytes(1, static_cast<char>(first));
    if (payload.size() < 126) {
      bytes += static_cast<char>(0x80 | payload.size());
    } else {
      bytes += static_cast<char>(0x80 | 126);
      bytes += static_cast<char>(payload.size() >> 8);
      bytes += static_cast<char>(payload.size() & 0xff);
    }
    return bytes + std::string(4, '\0') + payload;
  }
  void send(unsigned first, const std::string& payload) { wire.write_all(frame(first, payload)); }

  char byte() {
    char c;
    wire.read_exactly({&c, 1});
    return c;
  }
  /// The next frame of the server, which must be short: its first byte and its payload.
  std::pair<unsigned, std::string> receive() {
    const unsigned first = static_cast<unsigned char>(byte());
    std::string payload(static_cast<unsigned char>(byte()), '\0');
    wire.read_exactly(payload);
    return {first, payload};
  }
  /// The code of the close that comes next, after which the server must end the connection.
  unsigned close_received() {
    const auto [first, payload] = receive();
    EXPECT_EQ(0x88u, first);
    EXPECT_EQ(0u, drain(wire));
    wire.close();
    if (payload.size() < 2) return close_code::none;
    return static_cast<unsigned char>(payload[0]) * 256u + static_cast<unsigned char>(payload[1]);
  }

  tcp_stream wire;
  std::string answer;
};

std::string close_payload(unsigned code, const std::string& reason = {}) {
  return std::string{static_cast<char>(code >> 8), static_cast<char>(code & 0xff)} + reason;
}

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

struct hostile {
  const char* name;
  std::string bytes;
  unsigned code;
};

class web_socket_hostile : public testing::TestWithParam<hostile> {};

INSTANTIATE_TEST_SUITE_P(
    frames, web_socket_hostile,
    testing::Values(
        hostile{"unmasked", "\x81\x01x", 1002},
        hostile{"reserved_bit_1", raw_client::frame(0xc1, "x"), 1002},
        hostile{"reserved_bit_2", raw_client::frame(0xa1, "x"), 1002},
        hostile{"reserved_bit_3", raw_client::frame(0x91, "x"), 1002},
        hostile{"unknown_data_frame", raw_client::frame(0x83, "x"), 1002},
        hostile{"unknown_control_frame", raw_client::frame(0x8b, "x"), 1002},
        hostile{"continuation_of_nothing", raw_client::frame(0x80, "x"), 1002},
        hostile{"message_within_a_message",
                raw_client::frame(0x01, "x") + raw_client::frame(0x81, "y"), 1002},
        hostile{"ping_in_parts", raw_client::frame(0x09, "x"), 1002},
        hostile{"long_ping", raw_client::frame(0x89, std::string(126, 'x')), 1002},
        hostile{"size_in_too_many_bytes", std::string("\x81\xfe\0\x01\0\0\0\0x", 9), 1002},
        hostile{"negative_size", "\x82\xff" + std::string(8, '\xff') + std::string(4, '\0'), 1002},
        hostile{"huge_size", "\x82\xff\x7f" + std::string(7, '\xff') + std::string(4, '\0'), 1009},
        hostile{"parts_that_are_too_much",
                raw_client::frame(0x02, std::string(600, 'x')) +
                    raw_client::frame(0x80, std::string(600, 'x')),
                1009},
        hostile{"text_that_is_not_utf8", raw_client::frame(0x81, "\xc0\xaf"), 1007},
        hostile{"surrogate", raw_client::frame(0x81, "\xed\xa0\x80"), 1007},
        hostile{"text_cut_off", raw_client::frame(0x81, "\xe2\x82"), 1007},
        hostile{"close_of_one_byte", raw_client::frame(0x88, "x"), 1002},
        hostile{"close_with_a_reserved_code", raw_client::frame(0x88, close_payload(1005)), 1002},
        hostile{"close_with_a_bad_reason", raw_client::frame(0x88, close_payload(1000, "\xff")),
                1007}),
    [](const auto& each) { return each.param.name; });

TEST_P(web_socket_hostile, is_told_why_and_the_connection_ends) {
  web_socket_options how;
  how.message_bytes_max = 1000;
  ws_server server(echo, how);
  raw_client client(server.local_address());
  client.wire.write_all(GetParam().bytes);
  EXPECT_EQ(GetParam().code, client.close_received());
  server.await_end();
  EXPECT_EQ(&web_socket_category(), &server.error.category()) << server.error.message();
}

TEST(web_socket, bad_packed_data_is_told_and_ends_the_connection) {
  ws_server server(echo, compressing());
  raw_client client(server.local_address(),
                    "Sec-WebSocket-Extensions: foo, permessage-deflate; server_max_window_bits=10; "
                    "client_max_window_bits\r\n");
  EXPECT_NE(std::string::npos, client.answer.find("server_max_window_bits=10")) << client.answer;
  client.send(0xc1, "\xff\xff\xff\xff");
  EXPECT_EQ(1002u, client.close_received());
}

TEST(web_socket, random_frames_end_their_own_connection_and_harm_nothing_else) {
  web_socket_options how = compressing();
  how.message_bytes_max = 5000;
  how.close_timeout = 1s;
  ws_server server(echo, how);
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(seed);
    pattern random(seed);
    raw_client client(server.local_address(), "Sec-WebSocket-Extensions: permessage-deflate\r\n");
    std::string bytes;
    for (int frame = random.next() % 8; frame >= 0; --frame) {
      constexpr unsigned char firsts[] = {0x81, 0x82, 0xc1, 0xc2, 0x01, 0x00, 0x80, 0x89, 0x8a};
      const std::vector<unsigned char> noise = random.take(random.next() % 200);
      const unsigned char first = firsts[random.next() % sizeof firsts];
      bytes += raw_client::frame(first, std::string(noise.begin(), noise.end()));
    }
    if (seed % 3 == 0) bytes[random.next() % bytes.size()] ^= static_cast<char>(random.next());
    std::error_code ec;
    client.wire.write_all(bytes, ec);
    client.wire.shutdown(direction::write, ec);
    std::vector<char> got(4096);
    while (client.wire.read_some(got, ec) != 0) {
    }
    EXPECT_TRUE(!ec || ec == std::errc::connection_reset) << ec.message();
  }
  web_socket ws = connected(server);
  ws.write_text("still here");
  EXPECT_EQ("still here", ws.read()->data);
}

TEST(web_socket, a_second_close_after_the_first_is_ignored) {
  ws_server server;
  raw_client client(server.local_address());
  client.send(0x88, close_payload(1001));
  client.send(0x88, close_payload(4444));
  EXPECT_EQ(1001u, client.close_received());
  server.await_end();
  EXPECT_EQ(1001, server.peer_code);
  EXPECT_FALSE(server.error);
}

TEST(web_socket, requests_that_ask_for_no_web_socket_get_a_status_that_says_so) {
  ws_server server;
  struct wrong {
    const char* replaced;
    const char* by;
    const char* status;
    const char* field;
  };
  const std::string right =
      "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
  for (const wrong& each :
       {wrong{"Upgrade: websocket\r\n", "", "426", "Upgrade: websocket"},
        wrong{"Connection: Upgrade\r\n", "", "400", ""}, wrong{"GET", "PUT", "400", ""},
        wrong{"Version: 13", "Version: 8", "426", "Sec-WebSocket-Version: 13"},
        wrong{"Sec-WebSocket-Version: 13\r\n", "", "426", "Sec-WebSocket-Version: 13"},
        wrong{"Key: dGhl", "Key: GhlI", "101", ""}, wrong{"Key: dGhl", "Key: d=hl", "400", ""},
        wrong{"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", "400", ""}}) {
    std::string request = right;
    request.replace(request.find(each.replaced), std::string(each.replaced).size(), each.by);
    tcp_stream wire = tcp_stream::connect(server.local_address(), patience);
    wire.expires_after(patience);
    wire.write_all(request);
    std::string head;
    while (!head.ends_with("\r\n\r\n")) {
      char c;
      wire.read_exactly({&c, 1});
      head += c;
    }
    EXPECT_EQ(each.status, head.substr(9, 3)) << request;
    EXPECT_NE(std::string::npos, head.find(each.field)) << head;
  }
}

/// Answers one request with `answer`, and closes.
std::error_code answered_with(const std::string& answer, const web_socket_options& how = {}) {
  tcp_listener listener = tcp_listener::listen(address::ipv4_loopback());
  listener.expires_after(patience);
  auto serving = spawn([&] {
    tcp_stream s = listener.accept();
    s.expires_after(patience);
    std::string request;
    while (!request.ends_with("\r\n\r\n")) {
      char c;
      s.read_exactly({&c, 1});
      request += c;
    }
    s.write_all(answer);
  });
  std::error_code ec;
  web_socket ws = web_socket::connect("ws://" + listener.local_address().to_string(), how, ec);
  EXPECT_FALSE(ws.is_open());
  serving.get();
  return ec;
}

TEST(web_socket, a_server_that_is_none_is_told_from_one_that_refuses) {
  EXPECT_EQ(web_socket_errc::refused, answered_with("HTTP/1.1 404 Not Found\r\n\r\n"));
  EXPECT_EQ(web_socket_errc::bad_handshake, answered_with(""));
  EXPECT_EQ(web_socket_errc::bad_handshake, answered_with("SSH-2.0-OpenSSH\r\n\r\n"));
  EXPECT_EQ(web_socket_errc::bad_handshake, answered_with(std::string(20'000, 'x')));
  const std::string good =
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";
  EXPECT_EQ(web_socket_errc::bad_handshake, answered_with(good + "\r\n"));
  EXPECT_EQ(web_socket_errc::bad_handshake,
            answered_with(good + "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"));
  EXPECT_EQ(web_socket_errc::bad_handshake, answered_with(good + " folded\r\n\r\n"));
}

TEST(web_socket, wrong_urls_and_arguments_are_refused_at_once) {
  for (const char* url : {"", "http://x/", "ws://", "ws://x:0/", "ws://x:99999/", "ws://u@x/",
                          "ws://x/#f", "ws://x/a b", "ws://[::1/", "wss:/x/"}) {
    EXPECT_THROW(web_socket::connect(url), std::invalid_argument) << url;
  }
  ws_server server;
  web_socket ws = connected(server);
  EXPECT_THROW(ws.write_text("\xff"), std::invalid_argument);
  std::error_code ec;
  ws.write_text("\xff", ec);
  EXPECT_EQ(std::errc::invalid_argument, ec);
  EXPECT_THROW(ws.ping(std::string(126, 'x')), std::invalid_argument);
  EXPECT_THROW(ws.close(1005), std::invalid_argument);
  EXPECT_THROW(ws.close(1000, std::string(124, 'x')), std::invalid_argument);
  web_socket moved = std::move(ws);
  EXPECT_EQ(std::errc::bad_file_descriptor, thrown_by([&] { ws.read(); }));
  EXPECT_EQ(std::errc::bad_file_descriptor, thrown_by([&] { ws.write_text("x"); }));
  EXPECT_TRUE(moved.close());
}

TEST(web_socket, a_server_that_does_not_answer_is_given_up_in_time) {
  tcp_listener listener = tcp_listener::listen(address::ipv4_loopback());
  web_socket_options how;
  how.handshake_timeout = 100ms;
  const stopwatch since;
  EXPECT_EQ(std::errc::timed_out, thrown_by([&] {
              web_socket::connect("ws://" + listener.local_address().to_string(), how);
            }));
  expect_lasted(since, 100ms);
}

#ifdef COIR_TEST_PYTHON

constexpr int python_lacks_it = 77;  // what these scripts exit with then

constexpr const char* python_client = R"(
import asyncio, sys
try:
    import websockets
except ImportError:
    sys.exit(77)
async def main():
    async with websockets.connect(sys.argv[1], subprotocols=["chat"], open_timeout=20,
                                  max_size=None) as ws:
        assert ws.subprotocol == "chat"
        assert any(e.name == "permessage-deflate" for e in ws.extensions)
        for message in ("", "gr\u00f6\u00dfe", "x" * 100000, b"", bytes(range(256)) * 1000):
            await ws.send(message)
            assert await asyncio.wait_for(ws.recv(), 20) == message
        await ws.send([part * 1000 for part in "abc"])
        assert await asyncio.wait_for(ws.recv(), 20) == "a" * 1000 + "b" * 1000 + "c" * 1000
        await asyncio.wait_for(await ws.ping(b"alive"), 20)
        await ws.close(4000, "bye")
        assert ws.close_code == 4000, ws.close_code
asyncio.run(main())
)";

TEST(web_socket_foreign, pythons_client_talks_to_our_server) {
  web_socket_options how = compressing();
  how.subprotocols = {"chat"};
  ws_server server(echo, how);
  python client(python_client, server.url());
  const int status = client.exit_status();
  if (WEXITSTATUS(status) == python_lacks_it) GTEST_SKIP() << "Python has no websockets here";
  EXPECT_EQ(0, status);
  EXPECT_EQ(4000, server.peer_code);
  EXPECT_EQ("bye", server.peer_reason);
}

constexpr const char* python_server = R"(
import asyncio, sys
try:
    import websockets
except ImportError:
    print("none", flush=True)
    sys.exit(77)
async def serve(ws):
    try:
        async for message in ws:
            await asyncio.wait_for(await ws.ping(), 20)
            await ws.send(message)
    except websockets.ConnectionClosed:
        pass
    finally:
        result.set_result((ws.close_code, ws.close_reason, ws.subprotocol))
async def main():
    global result
    result = asyncio.get_running_loop().create_future()
    async with websockets.serve(serve, "127.0.0.1", 0, subprotocols=["chat"],
                                max_size=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        assert await asyncio.wait_for(result, 20) == (4005, "over", "chat"), result
asyncio.run(main())
)";

TEST(web_socket_foreign, our_client_talks_to_pythons_server) {
  for (const bool compresses : {false, true}) {
    python server(python_server, "");
    const std::string port = server.line();
    if (port == "none") GTEST_SKIP() << "Python has no websockets here";
    web_socket_options how;
    how.compresses = compresses;
    how.subprotocols = {"chat"};
    web_socket ws = web_socket::connect("ws://127.0.0.1:" + port + "/", how);
    ws.expires_after(patience);
    EXPECT_EQ(compresses, ws.is_compressed());
    const std::string large(500'000, 'q');
    for (const std::string& text : {std::string(), std::string("größe"), large}) {
      ws.write_text(text);
      EXPECT_EQ(text, ws.read()->data);
    }
    EXPECT_TRUE(ws.close(4005, "over"));
    EXPECT_EQ(0, server.exit_status());
  }
}

#endif

}  // namespace
}  // namespace coir::net::test
