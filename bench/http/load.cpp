// The load of the HTTP benchmark: keep-alive connections to one server, each with some requests
// under way, every answer checked: its status, its length and its body.
//
// Terms. A connection has `--depth` requests under way, and sends a new one for each answer. An
// answer that was checked byte by byte is kept: another that equals it needs no second look, so
// that the load is faster than the servers (answers change once a second, with their Date).
//
// Protocol, `--spin` and what a round is: bench/round_load.hpp.

#include "bench/http/answer_head.hpp"
#include "bench/round_load.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace {

using bench::fail;
using bench::fail_with_errno;

constexpr std::string_view expected_body = "Hello, World!\n";  // the servers' own text
constexpr std::size_t answer_bytes_max = 4096;
constexpr std::size_t receive_bytes = 64 * 1024;

struct connection : bench::round_connection {
  std::uint64_t sent = 0;  ///< bytes
  std::string begun;       ///< the part of an answer whose rest has not come
};

/// Knows a right answer.
class checker {
 public:
  /// The length of the answer at the front of `bytes`; 0 when it is not complete. Ends the process
  /// when it is not the right one.
  std::size_t check(std::string_view bytes) {
    if (!known_.empty() && bytes.starts_with(known_)) return known_.size();
    const std::size_t head_size = bytes.find("\r\n\r\n");
    if (head_size == std::string_view::npos) {
      if (bytes.size() > answer_bytes_max) fail("an answer has no end");
      return 0;
    }
    bench::check_answer_head(bytes.substr(0, head_size), expected_body.size(), true);
    const std::string_view rest = bytes.substr(head_size + 4);
    if (rest.size() < expected_body.size()) return 0;
    if (!rest.starts_with(expected_body)) fail("the body of an answer is not the right one");
    known_ = bytes.substr(0, head_size + 4 + expected_body.size());
    return known_.size();
  }

 private:
  std::string known_;
};

class load : public bench::round_load<load, connection> {
 public:
  explicit load(const bench::round_options& how);

 private:
  friend round_load;
  void open(connection& c) { c.fd = connect_for(c); }
  void flush(connection& c);
  void on_event(connection& c);
  void on_received(connection& c, std::string_view bytes);

  std::size_t request_bytes_ = 0;
  std::string requests_text_;  ///< one request after another, one more than the depth
  std::vector<char> buffer_;
  checker checker_;
};

load::load(const bench::round_options& how) : round_load(how), buffer_(receive_bytes) {
  const std::string one = "GET /hello HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(how.port) +
                          "\r\nUser-Agent: load/1.0\r\nAccept: */*\r\n\r\n";
  request_bytes_ = one.size();
  for (std::size_t i = 0; i <= how.depth; ++i) requests_text_ += one;
}

void load::flush(connection& c) {
  while (c.sent < c.asked * request_bytes_) {
    const char* from = &requests_text_[c.sent % request_bytes_];
    const ssize_t sent =
        send(c.fd, from, c.asked * request_bytes_ - c.sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno == EAGAIN) return;
    if (sent < 0) fail_with_errno("send");
    c.sent += static_cast<std::uint64_t>(sent);
  }
}

void load::on_event(connection& c) {
  flush(c);
  for (;;) {
    const ssize_t received = recv(c.fd, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (received < 0 && errno == EAGAIN) return;
    if (received < 0) fail_with_errno("recv");
    if (received == 0) fail("the server has closed a connection");
    const auto size = static_cast<std::size_t>(received);
    on_received(c, {buffer_.data(), size});
    if (size < buffer_.size()) return;
  }
}

void load::on_received(connection& c, std::string_view bytes) {
  const std::size_t received = bytes.size();
  if (!c.begun.empty()) bytes = c.begun.append(bytes);
  std::uint64_t count = 0;
  while (const std::size_t size = checker_.check(bytes)) {
    bytes.remove_prefix(size);
    ++count;
  }
  c.begun = std::string(bytes);
  note_answers(c, count, received);
}

bench::round_options parse(int argc, char** argv) {
  bench::round_options result;
  bench::parse_round_options(argc, argv, result);
  return result;
}

}  // namespace

int main(int argc, char** argv) { load(parse(argc, argv)).serve(); }
