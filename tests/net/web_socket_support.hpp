/// What the tests of WebSockets share: a server whose requests all become WebSockets, and a client
/// that writes its frames by hand.
#pragma once

#include "tests/net/support.hpp"

#include <functional>
#include <string>
#include <utility>

namespace coir::net::test {

/// What a server does with one connection.
using session = std::function<void(web_socket&)>;

inline void echo(web_socket& ws) {
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

inline web_socket connected(const ws_server& to, const web_socket_options& how = {}) {
  web_socket ws = web_socket::connect(to.url(), how);
  ws.expires_after(patience);
  return ws;
}

inline web_socket_options compressing() {
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

inline std::string close_payload(unsigned code, const std::string& reason = {}) {
  return std::string{static_cast<char>(code >> 8), static_cast<char>(code & 0xff)} + reason;
}

}  // namespace coir::net::test
