// A server's side of HTTP connections: answers, interim answers, redirects, bodies in pieces of any
// size.
//
// The first byte says how large the pieces are; with its bit 6 the request is a HEAD. What stands
// behind a byte 1e is said over the next connection. Checked beside crashes: an answer is within
// the bounds and as long as it says, the client is content with the memory that the bounds allow,
// it sends no more requests than redirects lead to, what it understands does not depend on the
// pieces, and a body in chunks is what the simplest reader of chunks finds, who forgives nothing.
#include "net/http/text.hpp"
#include "tests/fuzz/support.hpp"

#include <coir/net/http_client.hpp>

#include <charconv>
#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <vector>

namespace {

namespace net = coir::net;
using coir::fuzz::canned_stream;
using coir::fuzz::demand;

constexpr std::size_t body_bytes_max = 4096;
constexpr unsigned redirects_max = 3;
// Of the memory that is read into at a time: that of a long body.
constexpr std::size_t room_max = 128 * 1024;

/// What a request ended with.
struct outcome {
  bool is_answer = false;
  int status = 0;
  std::string head;
  std::string body;
  std::size_t requests = 0;

  bool operator==(const outcome&) const = default;
};

/// A stream of the client's, which outlives its connection here.
class shared_stream final : public net::stream {
 public:
  explicit shared_stream(canned_stream& of) : of_(of) {}

  void shutdown(net::direction which, std::error_code& ec) override { of_.shutdown(which, ec); }
  void close(std::error_code& ec) noexcept override { ec.clear(); }
  bool is_open() const noexcept override { return true; }
  net::address local_address(std::error_code&) const noexcept override { return {}; }
  net::address peer_address(std::error_code&) const noexcept override { return {}; }
  int native_handle() const noexcept override { return -1; }

 private:
  std::size_t do_read(net::mutable_buffer into, coir::detail::deadline,
                      std::error_code& ec) override {
    return of_.read_some(into, ec);
  }
  std::size_t do_write(net::const_buffer from, coir::detail::deadline,
                       std::error_code& ec) override {
    return of_.write_some(from, ec);
  }
  std::size_t do_write_parts(std::span<const net::const_buffer> parts, coir::detail::deadline,
                             std::error_code& ec) override {
    return of_.write_parts(parts, ec);
  }

  canned_stream& of_;
};

std::size_t count(std::string_view text, std::string_view part) {
  std::size_t found = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != text.npos; at += part.size()) ++found;
  return found;
}

net::http_client::options bounds() {
  net::http_client::options how;
  how.header_bytes_max = 2048;
  how.header_fields_max = 20;
  how.body_bytes_max = body_bytes_max;
  how.redirects_max = redirects_max;
  return how;
}

/// What stands behind the interim answers and the head of the final one.
std::string_view behind_head(std::string_view sent) {
  constexpr std::string_view head_end = "\r\n\r\n";
  constexpr std::string_view version = "HTTP/1.1 ";
  for (;;) {
    const bool is_interim = sent.substr(version.size()).starts_with('1');
    const std::size_t end = sent.find(head_end);
    demand(end != sent.npos);
    sent.remove_prefix(end + head_end.size());
    if (!is_interim) return sent;
  }
}

/// A body in chunks, taken apart in the most simple way; ends the program if it is not whole.
std::string unchunked(std::string_view sent) {
  std::string body;
  for (;;) {
    const std::size_t end = sent.find("\r\n");
    demand(end != sent.npos && sent.find('\n') == end + 1);
    std::size_t size = 0;
    const auto [stop, error] = std::from_chars(sent.data(), sent.data() + end, size, 16);
    demand(error == std::errc() && stop != sent.data());
    if (size == 0) return body;
    sent.remove_prefix(end + 2);
    demand(sent.size() > size && sent.size() - size >= 2 && sent.substr(size, 2) == "\r\n");
    body += sent.substr(0, size);
    sent.remove_prefix(size + 2);
  }
}

/// `said`: what the server said, when one connection and request were enough; else empty.
void check_answer(net::http_exchange& got, bool is_head, const std::string& body,
                  std::string_view said) {
  demand(got.status() >= 200 && got.status() <= 599);
  demand(got.version() == 10 || got.version() == 11);
  demand(body.size() <= body_bytes_max);
  const bool has_no_body = is_head || got.status() == 204 || got.status() == 304;
  demand(!has_no_body || body.empty());
  demand(!got.content_length() || *got.content_length() == body.size());
  const bool is_chunked = !has_no_body && got.headers().contains("Transfer-Encoding");
  if (is_chunked && !said.empty()) demand(unchunked(behind_head(said)) == body);
}

/// Servers that say what is cut at each byte 1e, one after the other.
class servers {
 public:
  servers(std::string_view say, std::size_t piece) : left_(say), piece_(piece) {}

  std::unique_ptr<net::stream> connect() {
    said_.push_back(net::http::take_until(left_, '\x1e'));
    return std::make_unique<shared_stream>(connections_.emplace_back(said_.back(), piece_));
  }
  std::size_t requests() const {
    std::size_t all = 0;
    for (const canned_stream& each : connections_) all += count(each.written(), " HTTP/1.1\r\n");
    return all;
  }
  /// What the only server said that was asked, and that once.
  std::string_view only_one_said() const {
    return requests() == 1 ? said_.front() : std::string_view();
  }
  void expect_little_memory() const {
    for (const canned_stream& each : connections_) demand(each.room_max() <= room_max);
  }

 private:
  std::string_view left_;
  const std::size_t piece_;
  std::vector<std::string_view> said_;
  std::list<canned_stream> connections_;
};

outcome ask(std::string_view sent, std::size_t piece, bool is_head) {
  servers asked(sent, piece);
  net::http_client::options how = bounds();
  how.connect = [&](const net::url&, net::time_limit, std::error_code& ec) {
    ec.clear();
    return asked.connect();
  };
  outcome ended;
  {
    net::http_client client(how);
    std::error_code ec;
    net::http_exchange got =
        client.open({.method = is_head ? "HEAD" : "GET", .url = "http://h/p"}, ec);
    std::string body;
    if (!ec) body = got.read_body(ec);
    if (!ec) {
      check_answer(got, is_head, body, asked.only_one_said());
      ended = {true, got.status(), got.reason(), std::move(body)};
      got.headers().append_to(ended.head);
    }
  }
  asked.expect_little_memory();
  ended.requests = asked.requests();
  demand(ended.requests <= 2 * (redirects_max + 1));  // each may be sent once more
  return ended;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const bool is_head = data[0] != 'x' && (data[0] & 64) != 0;
  const std::string_view sent = coir::fuzz::text_of(data + 1, size - 1);
  const outcome in_pieces = ask(sent, coir::fuzz::piece_size(data[0], size), is_head);
  const outcome at_once = ask(sent, size, is_head);
  // Whether a connection is used again depends on what has come by then.
  if (in_pieces.requests == 1 && at_once.requests == 1) demand(at_once == in_pieces);
  return 0;
}
