// WebSockets against peers that break the protocol, and against Python's.
#include "tests/net/web_socket_support.hpp"

#ifdef COIR_TEST_PYTHON
#include "tests/net/python.hpp"
#endif

#include <memory>
#include <stdexcept>
#include <string>

namespace coir::net::test {
namespace {

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
