// The load of the echo benchmark: many connections to one server, each with some requests under
// way, every byte that comes back compared with what was sent.
//
// Terms. A request is `--bytes` long; a connection has `--depth` of them under way, and sends a new
// one for each that has come back. The bytes of a connection are a walk through one table of random
// bytes, from a place of its own and with a period that is no multiple of a request, so that bytes
// that are lost, doubled, swapped or of another connection do not match.
//
// Protocol. Connections are opened once and each is tried. Then each line of stdin is the length of
// a round in seconds; the answer is a line of JSON. A round begins with a warm-up, counts requests
// and the processor time of both processes over the same window, and ends when all requests have
// come back. The end of stdin ends the process; any error ends it with status 1.
//
// With `--spin 1` the load does not sleep in a round. A load that sleeps whenever it is faster than
// the server makes the server pay for waking it, which on a virtual machine is several times the
// cost of a request: small differences between servers then look large. The load must have a
// processor of its own for that.

#include "bench/echo/histogram.hpp"
#include "bench/load_tools.hpp"

#include <algorithm>
#include <fstream>
#include <random>
#include <string>
#include <vector>

namespace {

using bench::clock_ns;
using bench::fail;
using bench::fail_with_errno;
using bench::now_ns;
using bench::second_ns;

constexpr std::size_t pattern_period = 65521;  // prime
constexpr std::size_t transfer_bytes_max = 256 * 1024;
constexpr int events_per_turn = 256;
constexpr std::size_t connects_at_once = 256;  // below every listener's backlog
constexpr int drain_wait_ms = 100;
constexpr double warm_up_share = 0.2;  // of a round, before its window

struct options {
  std::uint16_t port = 0;
  std::size_t connections = 64;
  std::size_t bytes = 64;
  std::size_t depth = 1;
  pid_t server = 0;
  bool is_spinning = false;
};

/// For how long a process was ready but other work had its processor; 0 where that is not told.
std::int64_t delay_ns(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/schedstat");
  std::int64_t run = 0;
  std::int64_t delay = 0;
  return file >> run >> delay ? delay : 0;
}

struct connection {
  int fd = -1;
  std::size_t start = 0;            ///< its place in the pattern
  std::uint64_t sent = 0;           ///< bytes
  std::uint64_t received = 0;       ///< bytes
  std::uint64_t wanted = 0;         ///< bytes that are to be sent in all so far
  std::int64_t* sent_at = nullptr;  ///< for each request under way, by its number modulo the depth
};

/// What has happened up to one moment.
struct reading {
  std::int64_t time_ns;
  std::int64_t server_cpu_ns;
  std::int64_t server_delay_ns;
  std::int64_t idle_ns;
  std::uint64_t requests;
};

class load {
 public:
  explicit load(const options& how);
  /// Opens the connections and sends one request over each.
  void connect_all();
  /// One round; returns its line of JSON.
  std::string run(double seconds);

 private:
  void request(connection& c, std::uint64_t count);
  void flush(connection& c);
  void on_event(connection& c);
  void on_received(connection& c, std::size_t size);
  int turn(int timeout_ms);
  void run_until(std::int64_t when);
  void drain();
  reading read_clocks() const;

  const options how_;
  const clockid_t server_clock_ = bench::cpu_clock_of(how_.server);
  int epoll_ = epoll_create1(EPOLL_CLOEXEC);
  std::vector<char> pattern_;
  std::vector<char> buffer_;
  std::vector<connection> connections_;
  std::vector<std::int64_t> sent_at_;
  std::uint64_t requests_ = 0;  ///< that have come back
  std::uint64_t under_way_ = 0;
  bool is_repeating_ = false;  ///< each request that comes back is followed by another
  std::int64_t last_answer_ns_ = 0;
  std::int64_t idle_ns_ = 0;  ///< in a round, in which nothing had come
  bench::histogram latencies_;
};

load::load(const options& how)
    : how_(how),
      pattern_(pattern_period + transfer_bytes_max),
      buffer_(transfer_bytes_max),
      connections_(how.connections),
      sent_at_(how.connections * how.depth) {
  std::mt19937 random(20240229);
  for (std::size_t i = 0; i < pattern_.size(); ++i) {
    pattern_[i] = i < pattern_period ? static_cast<char>(random()) : pattern_[i - pattern_period];
  }
  for (std::size_t i = 0; i < connections_.size(); ++i) {
    connections_[i].start = i * 7919 % pattern_period;
    connections_[i].sent_at = &sent_at_[i * how.depth];
  }
}

void load::connect_all() {
  last_answer_ns_ = now_ns();
  for (std::size_t i = 0; i < connections_.size(); ++i) {
    connections_[i].fd = bench::connect_to(how_.port, epoll_, &connections_[i]);
    request(connections_[i], 1);
    if ((i + 1) % connects_at_once == 0) drain();
  }
  drain();
}

/// Sends `count` more requests.
void load::request(connection& c, std::uint64_t count) {
  const std::int64_t now = now_ns();
  const std::uint64_t first = c.wanted / how_.bytes;
  for (std::uint64_t i = first; i < first + count; ++i) c.sent_at[i % how_.depth] = now;
  c.wanted += count * how_.bytes;
  under_way_ += count;
  flush(c);
}

void load::flush(connection& c) {
  while (c.sent < c.wanted) {
    const char* from = &pattern_[(c.start + c.sent) % pattern_period];
    const std::size_t size = std::min<std::uint64_t>(c.wanted - c.sent, transfer_bytes_max);
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
  const std::uint64_t first = c.received / how_.bytes;
  c.received += size;
  const std::uint64_t count = c.received / how_.bytes - first;
  if (count == 0) return;
  last_answer_ns_ = now_ns();
  for (std::uint64_t i = first; i < first + count; ++i) {
    latencies_.add(static_cast<std::uint64_t>(last_answer_ns_ - c.sent_at[i % how_.depth]));
  }
  requests_ += count;
  under_way_ -= count;
  if (is_repeating_) request(c, count);
}

/// Waits and handles what has come; returns how many connections that was.
int load::turn(int timeout_ms) {
  epoll_event events[events_per_turn];
  const std::int64_t begun = now_ns();
  const int count = epoll_wait(epoll_, events, events_per_turn, timeout_ms);
  if (count < 0 && errno != EINTR) fail_with_errno("epoll_wait");
  if (timeout_ms > 0 || count <= 0) idle_ns_ += now_ns() - begun;
  for (int i = 0; i < count; ++i) on_event(*static_cast<connection*>(events[i].data.ptr));
  return count;
}

void load::run_until(std::int64_t when) {
  while (now_ns() < when) turn(how_.is_spinning ? 0 : 1);
}

/// Waits until all requests have come back.
void load::drain() {
  while (under_way_ > 0) {
    turn(drain_wait_ms);
    if (now_ns() > last_answer_ns_ + bench::silence_ns_max) fail("the server does not answer");
  }
}

reading load::read_clocks() const {
  return {now_ns(), clock_ns(server_clock_), delay_ns(how_.server), idle_ns_, requests_};
}

std::string load::run(double seconds) {
  const auto window_ns = static_cast<std::int64_t>(seconds * second_ns);
  is_repeating_ = true;
  last_answer_ns_ = now_ns();
  for (connection& c : connections_) request(c, how_.depth);
  run_until(now_ns() + static_cast<std::int64_t>(static_cast<double>(window_ns) * warm_up_share));
  latencies_.clear();
  const reading before = read_clocks();
  run_until(before.time_ns + window_ns);
  const reading after = read_clocks();
  const std::uint64_t p50 = latencies_.quantile(0.5);
  const std::uint64_t p99 = latencies_.quantile(0.99);
  is_repeating_ = false;
  drain();
  char line[320];
  std::snprintf(line, sizeof line,
                "{\"requests\": %llu, \"wall_ns\": %lld, \"server_cpu_ns\": %lld, "
                "\"server_delay_ns\": %lld, \"idle_ns\": %lld, \"p50_ns\": %llu, \"p99_ns\": %llu}",
                static_cast<unsigned long long>(after.requests - before.requests),
                static_cast<long long>(after.time_ns - before.time_ns),
                static_cast<long long>(after.server_cpu_ns - before.server_cpu_ns),
                static_cast<long long>(after.server_delay_ns - before.server_delay_ns),
                static_cast<long long>(after.idle_ns - before.idle_ns),
                static_cast<unsigned long long>(p50), static_cast<unsigned long long>(p99));
  return line;
}

options parse(int argc, char** argv) {
  options result;
  bench::parse_numbers(
      argc, argv,
      {
          {"--port", [&](unsigned long n) { result.port = static_cast<std::uint16_t>(n); }},
          {"--connections", [&](unsigned long n) { result.connections = n; }},
          {"--bytes", [&](unsigned long n) { result.bytes = n; }},
          {"--depth", [&](unsigned long n) { result.depth = n; }},
          {"--spin", [&](unsigned long) { result.is_spinning = true; }},
          {"--server-pid", [&](unsigned long n) { result.server = static_cast<pid_t>(n); }},
      });
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  alarm(bench::load_life_seconds_max);
  bench::raise_descriptor_limit();
  load generator(parse(argc, argv));
  generator.connect_all();
  bench::serve_rounds([&](double seconds) { return generator.run(seconds); });
}
