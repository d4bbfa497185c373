// The handshake of WebSockets. A server's side: requests through our own HTTP server, whose handler
// accepts them and talks. A client's side: answers to a request with a known key.
//
// The first byte says how large the pieces of the request are; 'c' makes the rest an answer.
// Checked beside crashes: a server says 101 only to who may hear it, and a client agrees to nothing
// that it has not offered.
#include "net/http/text.hpp"
#include "net/websocket/handshake.hpp"
#include "tests/fuzz/support.hpp"

#include <coir/net/http_error.hpp>
#include <coir/net/http_server.hpp>
#include <coir/net/web_socket.hpp>

#include <cstdint>
#include <cstdlib>
#include <string>

namespace {

namespace net = coir::net;
namespace websocket = coir::net::websocket;
using coir::fuzz::canned_stream;
using coir::fuzz::demand;

const net::web_socket_options& spoken() {
  static const net::web_socket_options how = [] {
    net::web_socket_options made;
    made.subprotocols = {"chat", "echo"};
    made.compresses = true;
    made.compressed_bytes_min = 1;
    made.message_bytes_max = 1024;
    made.accepts_origin = [](std::string_view origin) { return origin != "http://bad"; };
    return made;
  }();
  return how;
}

void talk(net::http_request& request, net::http_response& response) {
  net::web_socket socket = net::web_socket::accept(request, response, spoken());
  demand(request.method() == "GET" && request.headers().has_token("Upgrade", "websocket"));
  demand(request.headers().get("Origin") != "http://bad");
  demand(socket.subprotocol().empty() || socket.subprotocol() == "chat" ||
         socket.subprotocol() == "echo");
  std::error_code ec;
  while (const auto message = socket.read(ec)) {
    demand(message->data.size() <= spoken().message_bytes_max);
    socket.write_binary(message->data, ec);
  }
}

void serve(std::string_view sent, std::size_t piece) {
  static const net::http_options how = [] {
    net::http_options made;
    made.header_bytes_max = 2048;
    made.on_error = [](const net::http_request&, std::exception_ptr) { std::abort(); };
    return made;
  }();
  canned_stream client(sent, piece);
  bool is_accepted = false;
  net::serve_http(
      client, {},
      [&](net::http_request& request, net::http_response& response) {
        talk(request, response);
        is_accepted = true;
      },
      how);
  const bool says_so = client.written().find("HTTP/1.1 101 ") != std::string::npos;
  demand(says_so == is_accepted);
}

void check_answer(std::string_view head) {
  const websocket::client_handshake sent{"dGhlIHNhbXBsZSBub25jZQ==", {}};
  for (const bool offers : {true, false}) {
    net::web_socket_options how;
    how.compresses = offers;
    if (offers) how.subprotocols = {"chat"};
    std::error_code ec;
    std::string why;
    const websocket::agreement agreed = websocket::check_answer(head, sent, how, ec, why);
    demand(static_cast<bool>(ec) == !why.empty());
    if (ec) continue;
    demand(head.starts_with("HTTP/1.1 101"));
    demand(head.find("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") != std::string_view::npos);
    demand(offers || !agreed.compresses);
    demand(agreed.subprotocol.empty() || (offers && agreed.subprotocol == "chat"));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view sent = coir::fuzz::text_of(data + 1, size - 1);
  if (data[0] == 'c') {
    check_answer(sent);
  } else {
    serve(sent, coir::fuzz::piece_size(data[0], size));
  }
  return 0;
}
