// The load of the HTTP benchmark: keep-alive connections to one server, each with some requests
// under way, every answer checked: its status, its length and its body.
//
// Terms. A connection has `--depth` requests under way, and sends a new one for each answer. An
// answer that was checked byte by byte is kept: another that equals it needs no second look, so
// that the load is faster than the servers (answers change once a second, with their Date).
//
// Protocol, `--spin` and what a round is: as in bench/echo/load.cpp.

#include "bench/echo/histogram.hpp"
#include "bench/load_tools.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <deque>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

using bench::clock_ns;
using bench::fail;
using bench::fail_with_errno;
using bench::now_ns;
using bench::second_ns;

constexpr std::string_view expected_body = "Hello, World!\n";  // the servers' own text
constexpr std::size_t answer_bytes_max = 4096;
constexpr std::size_t receive_bytes = 64 * 1024;
constexpr int events_per_turn = 256;
constexpr std::size_t connects_at_once = 256;  // below every listener's backlog
constexpr int drain_wait_ms = 100;
constexpr double warm_up_share = 0.2;  // of a round, before its window

struct options {
  std::uint16_t port = 0;
  std::size_t connections = 64;
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
  std::uint64_t sent = 0;           ///< bytes
  std::uint64_t wanted = 0;         ///< requests that are to be sent in all so far
  std::uint64_t answered = 0;       ///< requests
  std::string begun;                ///< the part of an answer whose rest has not come
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
    check_head(bytes.substr(0, head_size));
    const std::string_view rest = bytes.substr(head_size + 4);
    if (rest.size() < expected_body.size()) return 0;
    if (!rest.starts_with(expected_body)) fail("the body of an answer is not the right one");
    known_ = bytes.substr(0, head_size + 4 + expected_body.size());
    return known_.size();
  }

 private:
  static void check_head(std::string_view head) {
    if (!head.starts_with("HTTP/1.1 200 OK\r\n")) fail("the status of an answer is not 200");
    std::string lower(head);
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    constexpr std::string_view name = "\r\ncontent-length: ";
    const std::size_t place = lower.find(name);
    if (place == std::string::npos) fail("an answer does not tell its length");
    std::size_t length = 0;
    std::from_chars(&lower[place + name.size()], lower.data() + lower.size(), length);
    if (length != expected_body.size()) fail("an answer is not as long as it is to be");
    if (lower.find("\r\nconnection: close") != std::string::npos) {
      fail("the server does not keep its connections");
    }
  }

  std::string known_;
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
  void on_received(connection& c, std::string_view bytes);
  void on_answers(connection& c, std::uint64_t count);
  int turn(int timeout_ms);
  void run_until(std::int64_t when);
  void drain();
  reading read_clocks() const;

  const options how_;
  const clockid_t server_clock_ = bench::cpu_clock_of(how_.server);
  int epoll_ = epoll_create1(EPOLL_CLOEXEC);
  std::size_t request_bytes_ = 0;
  std::string requests_text_;  ///< one request after another, one more than the depth
  std::vector<char> buffer_;
  std::vector<connection> connections_;
  std::vector<std::int64_t> sent_at_;
  checker checker_;
  std::uint64_t requests_ = 0;  ///< that were answered
  std::uint64_t under_way_ = 0;
  bool is_repeating_ = false;  ///< each answer is followed by another request
  std::int64_t last_answer_ns_ = 0;
  std::int64_t idle_ns_ = 0;  ///< in a round, in which nothing had come
  bench::histogram latencies_;
};

load::load(const options& how)
    : how_(how),
      buffer_(receive_bytes),
      connections_(how.connections),
      sent_at_(how.connections * how.depth) {
  const std::string one = "GET /hello HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(how.port) +
                          "\r\nUser-Agent: load/1.0\r\nAccept: */*\r\n\r\n";
  request_bytes_ = one.size();
  for (std::size_t i = 0; i <= how.depth; ++i) requests_text_ += one;
  for (std::size_t i = 0; i < connections_.size(); ++i) {
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
  for (std::uint64_t i = c.wanted; i < c.wanted + count; ++i) c.sent_at[i % how_.depth] = now;
  c.wanted += count;
  under_way_ += count;
  flush(c);
}

void load::flush(connection& c) {
  while (c.sent < c.wanted * request_bytes_) {
    const char* from = &requests_text_[c.sent % request_bytes_];
    const ssize_t sent =
        send(c.fd, from, c.wanted * request_bytes_ - c.sent, MSG_DONTWAIT | MSG_NOSIGNAL);
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
  if (!c.begun.empty()) bytes = c.begun.append(bytes);
  std::uint64_t count = 0;
  while (const std::size_t size = checker_.check(bytes)) {
    bytes.remove_prefix(size);
    ++count;
  }
  c.begun = std::string(bytes);
  on_answers(c, count);
}

void load::on_answers(connection& c, std::uint64_t count) {
  if (count == 0) return;
  if (c.answered + count > c.wanted) fail("there are more answers than requests");
  last_answer_ns_ = now_ns();
  for (std::uint64_t i = c.answered; i < c.answered + count; ++i) {
    latencies_.add(static_cast<std::uint64_t>(last_answer_ns_ - c.sent_at[i % how_.depth]));
  }
  c.answered += count;
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

/// Waits until all requests were answered.
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
