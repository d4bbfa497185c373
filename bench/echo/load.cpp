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

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

namespace {

constexpr std::size_t pattern_period = 65521;  // prime
constexpr std::size_t transfer_bytes_max = 256 * 1024;
constexpr int events_per_turn = 256;
constexpr std::size_t connects_at_once = 256;  // below every listener's backlog
constexpr std::int64_t second_ns = 1'000'000'000;
constexpr std::int64_t silence_ns_max = 10 * second_ns;  // a server this silent has failed
constexpr unsigned life_seconds_max = 600;
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

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "load: %s\n", what);
  std::exit(1);
}

[[noreturn]] void fail_with_errno(const char* what) {
  std::fprintf(stderr, "load: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

std::int64_t clock_ns(clockid_t clock) {
  timespec t;
  if (clock_gettime(clock, &t) != 0) fail_with_errno("clock_gettime");
  return t.tv_sec * second_ns + t.tv_nsec;
}

std::int64_t now_ns() { return clock_ns(CLOCK_MONOTONIC); }

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
  void open(connection& c);
  void request(connection& c, std::uint64_t count);
  void flush(connection& c);
  void on_event(connection& c);
  void on_received(connection& c, std::size_t size);
  int turn(int timeout_ms);
  void run_until(std::int64_t when);
  void drain();
  reading read_clocks() const;

  const options how_;
  clockid_t server_clock_ = CLOCK_PROCESS_CPUTIME_ID;
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
  if (how.server != 0 && clock_getcpuclockid(how.server, &server_clock_) != 0) {
    fail("there is no such server process");
  }
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
    open(connections_[i]);
    request(connections_[i], 1);
    if ((i + 1) % connects_at_once == 0) drain();
  }
  drain();
}

void load::open(connection& c) {
  c.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (c.fd < 0) fail_with_errno("socket");
  const int on = 1;
  setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  sockaddr_in peer{};
  peer.sin_family = AF_INET;
  peer.sin_port = htons(how_.port);
  peer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(c.fd, reinterpret_cast<sockaddr*>(&peer), sizeof peer) != 0) {
    fail_with_errno("connect");
  }
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.ptr = &c;
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, c.fd, &event) != 0) fail_with_errno("epoll_ctl");
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
    if (now_ns() > last_answer_ns_ + silence_ns_max) fail("the server does not answer");
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
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    const unsigned long number = i + 1 < argc ? std::strtoul(argv[i + 1], nullptr, 10) : 0;
    if (number == 0) fail("every option needs a number above 0");
    if (name == "--port") {
      result.port = static_cast<std::uint16_t>(number);
    } else if (name == "--connections") {
      result.connections = number;
    } else if (name == "--bytes") {
      result.bytes = number;
    } else if (name == "--depth") {
      result.depth = number;
    } else if (name == "--spin") {
      result.is_spinning = true;
    } else if (name == "--server-pid") {
      result.server = static_cast<pid_t>(number);
    } else {
      fail("the options are --port --connections --bytes --depth --spin --server-pid");
    }
  }
  return result;
}

void raise_descriptor_limit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

int main(int argc, char** argv) {
  alarm(life_seconds_max);
  raise_descriptor_limit();
  load generator(parse(argc, argv));
  generator.connect_all();
  std::printf("connected\n");
  std::fflush(stdout);
  char line[64];
  while (std::fgets(line, sizeof line, stdin) != nullptr) {
    const double seconds = std::strtod(line, nullptr);
    if (!(seconds > 0 && seconds <= 60)) fail("a round lasts up to 60 seconds");
    std::printf("%s\n", generator.run(seconds).c_str());
    std::fflush(stdout);
  }
}
