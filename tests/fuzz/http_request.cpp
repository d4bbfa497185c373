// A client's side of an HTTP connection: requests, bodies, pipelines, in pieces of any size; frames
// when it begins as one of HTTP/2 does.
//
// The first byte says how large the pieces are. Checked beside crashes: whatever is sent, each
// answer is an HTTP answer, no more answers go out than there were requests, and a handler never
// sees a path that leads out.
#include "tests/fuzz/support.hpp"

#include <coir/net/http_server.hpp>

#include <cstdint>
#include <cstdlib>
#include <string>

namespace {

namespace net = coir::net;
using coir::fuzz::demand;

void answer(net::http_request& request, net::http_response& response) {
  demand(request.path().starts_with('/') || request.path() == "*");
  demand(request.path().find("/../") == std::string_view::npos && !request.path().ends_with("/.."));
  (void)request.headers().has_token("Connection", "close");
  if (request.path() == "/skip") return;
  const std::string body = request.read_body();
  demand(body.size() <= 4096);
  if (request.path() == "/parts") {
    response.write(body);
    response.write("end");
  } else {
    (void)request.query_value("a");
    response.send(body);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  static const net::http_options how = [] {
    net::http_options made;
    made.header_bytes_max = 2048;
    made.target_bytes_max = 512;
    made.header_fields_max = 20;
    made.body_bytes_max = 4096;
    made.http2 = true;
    made.on_error = [](const net::http_request&, std::exception_ptr) { std::abort(); };
    return made;
  }();
  coir::fuzz::canned_stream client(coir::fuzz::text_of(data + 1, size - 1),
                                   coir::fuzz::piece_size(data[0], size));
  std::size_t requests = 0;
  net::serve_http(
      client, {},
      [&](net::http_request& request, net::http_response& response) {
        ++requests;
        answer(request, response);
      },
      how);
  const std::string& out = client.written();
  const bool is_http2 = out.size() > 3 && out[3] == '\4';  // the server's settings
  demand(out.empty() || is_http2 || out.starts_with("HTTP/1.1 "));
  constexpr std::size_t shortest_line = sizeof "G / HTTP/1.0\r\n\r\n" - 1;
  constexpr std::size_t shortest_frame = 9 + 4;  // a method, scheme, path and host of one byte each
  demand(requests <= size / (is_http2 ? shortest_frame : shortest_line));
  return 0;
}
