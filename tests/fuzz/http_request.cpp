// A client's side of an HTTP connection: requests, bodies, pipelines, in pieces of any size; frames
// when it begins as one of HTTP/2 does.
//
// The first byte says how large the pieces are. Checked beside crashes: whatever is sent, each
// answer is an HTTP answer, no more answers go out than there were requests, and a handler never
// sees a path that leads out.
#include <coir/net/http_server.hpp>
#include <coir/net/stream.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>

namespace {

namespace net = coir::net;

/// A connection whose client has sent all it ever will.
class canned_stream final : public net::stream {
 public:
  canned_stream(std::string_view sent, std::size_t piece) : sent_(sent), piece_(piece) {}

  const std::string& written() const { return written_; }

  void shutdown(net::direction, std::error_code& ec) override { ec.clear(); }
  void close(std::error_code& ec) noexcept override { ec.clear(); }
  bool is_open() const noexcept override { return true; }
  net::address local_address(std::error_code&) const noexcept override { return {}; }
  net::address peer_address(std::error_code&) const noexcept override { return {}; }
  int native_handle() const noexcept override { return -1; }

 private:
  std::size_t do_read(net::mutable_buffer into, coir::detail::deadline, std::error_code&) override {
    const std::size_t count = std::min({sent_.size(), into.size(), piece_});
    std::memcpy(into.data(), sent_.data(), count);
    sent_.remove_prefix(count);
    return count;
  }
  std::size_t do_write(net::const_buffer from, coir::detail::deadline, std::error_code&) override {
    written_.append(static_cast<const char*>(from.data()), from.size());
    return from.size();
  }
  std::size_t do_write_parts(std::span<const net::const_buffer> parts, coir::detail::deadline until,
                             std::error_code& ec) override {
    std::size_t count = 0;
    for (const net::const_buffer& each : parts) {
      if (each.size() != 0) count += do_write(each, until, ec);
    }
    return count;
  }

  std::string_view sent_;
  std::size_t piece_;
  std::string written_;
};

void demand(bool condition) {
  if (!condition) std::abort();
}

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
  const std::size_t piece = data[0] == 'x' ? size : 1 + data[0] % 64;
  canned_stream client({reinterpret_cast<const char*>(data) + 1, size - 1}, piece);
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
