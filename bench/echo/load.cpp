// The load of the echo benchmark: many connections to one server, each with some requests under
// way, every byte that comes back compared with what was sent.
//
// Terms. A request is `--bytes` long; a connection has `--depth` of them under way, and sends a new
// one for each that has come back. The bytes of a connection are a walk through one table of random
// bytes, from a place of its own and with a period that is no multiple of a request, so that bytes
// that are lost, doubled, swapped or of another connection do not match.
//
// Protocol, `--spin` and what a round is: bench/round_load.hpp.

#include "bench/round_load.hpp"

#include <algorithm>
#include <random>
#include <vector>

namespace {

using bench::fail;
using bench::fail_with_errno;

constexpr std::size_t pattern_period = 65521;  // prime
constexpr std::size_t transfer_bytes_max = 256 * 1024;

struct options : bench::round_options {
  std::size_t bytes = 64;  ///< of a request
};

struct connection : bench::round_connection {
  std::size_t start = 0;       ///< its place in the pattern
  std::uint64_t sent = 0;      ///< bytes
  std::uint64_t received = 0;  ///< bytes
};

class load : public bench::round_load<load, connection> {
 public:
  explicit load(const options& how);

 private:
  friend round_load;
  void open(connection& c) { c.fd = connect_for(c); }
  void flush(connection& c);
  void on_event(connection& c);
  void on_received(connection& c, std::size_t size);

  const std::size_t bytes_;
  std::vector<char> pattern_;
  std::vector<char> buffer_;
};

load::load(const options& how)
    : round_load(how),
      bytes_(how.bytes),
      pattern_(pattern_period + transfer_bytes_max),
      buffer_(transfer_bytes_max) {
  std::mt19937 random(20240229);
  for (std::size_t i = 0; i < pattern_.size(); ++i) {
    pattern_[i] = i < pattern_period ? static_cast<char>(random()) : pattern_[i - pattern_period];
  }
  std::size_t number = 0;
  for (connection& c : connections()) c.start = number++ * 7919 % pattern_period;
}

void load::flush(connection& c) {
  const std::uint64_t wanted = c.asked * bytes_;
  while (c.sent < wanted) {
    const char* from = &pattern_[(c.start + c.sent) % pattern_period];
    const std::size_t size = std::min<std::uint64_t>(wanted - c.sent, transfer_bytes_max);
    const ssize_t sent = send(c.fd, from, size, MSG_DONTWAIT | MSG_NOSIGNAL);
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
    on_received(c, static_cast<std::size_t>(received));
    if (static_cast<std::size_t>(received) < buffer_.size()) return;
  }
}

void load::on_received(connection& c, std::size_t size) {
  const char* expected = &pattern_[(c.start + c.received) % pattern_period];
  if (std::memcmp(buffer_.data(), expected, size) != 0 || c.received + size > c.sent) {
    fail("the bytes that came back are not those that were sent");
  }
  c.received += size;
  note_answers(c, c.received / bytes_ - c.answered, size);
}

options parse(int argc, char** argv) {
  options result;
  bench::parse_round_options(argc, argv, result,
                             {{"--bytes", [&](unsigned long n) { result.bytes = n; }}});
  return result;
}

}  // namespace

int main(int argc, char** argv) { load(parse(argc, argv)).serve(); }
