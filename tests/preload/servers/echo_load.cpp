// The load of the test of the echo server: many open connections, some of them active, every byte
// compared. One thread on epoll; never run under coir.
//
//   echo_load --port P [--connections C] [--active A] [--bytes S] [--rotate 1]
//
// Protocol. It opens C connections, makes one request over each and prints a line of JSON. Then
// each line of stdin is the length of a round in seconds, answered by a line of JSON: in a round A
// requests are under way at any time. With --rotate each answer is followed by a request over
// another connection, so that all of them get their turn, without it over the same one. The end of
// stdin ends it: every connection is shut down and must be closed by the server too. Any error ends
// it with status 1, and so does a server that is silent.

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
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

constexpr std::size_t pattern_bytes = 65521;  // prime: no two requests of a connection are alike
constexpr std::size_t bytes_max = 1 << 20;
constexpr std::size_t connects_at_once = 256;  // below the listener's backlog
constexpr int events_per_turn = 256;
constexpr int turn_ms = 20;
constexpr std::int64_t second_ns = 1'000'000'000;
constexpr std::int64_t silence_ns_max = 20 * second_ns;
constexpr unsigned life_seconds_max = 600;

struct options {
  std::uint16_t port = 0;
  std::size_t connections = 10'000;
  std::size_t active = 200;
  std::size_t bytes = 64;
  bool is_rotating = false;
};

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "echo_load: %s\n", what);
  std::exit(1);
}

[[noreturn]] void fail_with_errno(const char* what) {
  std::fprintf(stderr, "echo_load: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

std::int64_t now_ns() {
  timespec t;
  if (clock_gettime(CLOCK_MONOTONIC, &t) != 0) fail_with_errno("clock_gettime");
  return t.tv_sec * second_ns + t.tv_nsec;
}

struct connection {
  int fd = -1;
  std::size_t start = 0;     ///< where in the pattern its present request begins
  std::size_t sent = 0;      ///< bytes of the present request
  std::size_t received = 0;  ///< bytes of the present answer
  std::int64_t sent_at = 0;
  bool is_busy = false;
};

class load {
 public:
  explicit load(const options& how);
  void open_all();
  void run(double seconds);
  void close_all();

 private:
  void open(connection& c);
  void request(connection& c);
  void flush(connection& c);
  void on_event(connection& c);
  void on_answer(connection& c);
  connection& next(connection& after);
  void turn();
  void drain();

  const options how_;
  int epoll_ = epoll_create1(EPOLL_CLOEXEC);
  std::vector<char> pattern_;
  std::vector<char> buffer_;
  std::vector<connection> connections_;
  std::vector<std::int64_t> latencies_;  ///< of the answers of the round
  std::size_t next_ = 0;                 ///< the connection whose turn it is, when rotating
  std::size_t under_way_ = 0;
  std::int64_t last_answer_ns_ = now_ns();
  bool is_repeating_ = false;
};

load::load(const options& how)
    : how_(how),
      pattern_(pattern_bytes + how.bytes),
      buffer_(how.bytes),
      connections_(how.connections) {
  std::mt19937 random(20240229);
  for (std::size_t i = 0; i < pattern_.size(); ++i) {
    pattern_[i] = i < pattern_bytes ? static_cast<char>(random()) : pattern_[i - pattern_bytes];
  }
  for (std::size_t i = 0; i < connections_.size(); ++i) {
    connections_[i].start = i * 7919 % pattern_bytes;
  }
}

void load::open_all() {
  const std::int64_t begun = now_ns();
  for (std::size_t i = 0; i < connections_.size(); ++i) {
    open(connections_[i]);
    request(connections_[i]);
    if ((i + 1) % connects_at_once == 0) drain();
  }
  drain();
  std::printf("{\"opened\": %zu, \"seconds\": %.3f}\n", connections_.size(),
              static_cast<double>(now_ns() - begun) / second_ns);
  std::fflush(stdout);
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

void load::request(connection& c) {
  c.start = (c.start + 104'729) % pattern_bytes;
  c.sent = 0;
  c.received = 0;
  c.sent_at = now_ns();
  c.is_busy = true;
  ++under_way_;
  flush(c);
}

void load::flush(connection& c) {
  while (c.is_busy && c.sent < how_.bytes) {
    const ssize_t sent =
        send(c.fd, &pattern_[c.start + c.sent], how_.bytes - c.sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno == EAGAIN) return;
    if (sent < 0) fail_with_errno("send");
    c.sent += static_cast<std::size_t>(sent);
  }
}

void load::on_event(connection& c) {
  flush(c);
  while (c.is_busy) {
    const ssize_t got = recv(c.fd, buffer_.data(), how_.bytes - c.received, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return;
    if (got < 0) fail_with_errno("recv");
    if (got == 0) fail("the server has closed a connection");
    const auto size = static_cast<std::size_t>(got);
    if (c.received + size > c.sent) fail("more bytes came back than were sent");
    if (std::memcmp(buffer_.data(), &pattern_[c.start + c.received], size) != 0) {
      fail("the bytes that came back are not those that were sent");
    }
    c.received += size;
    if (c.received == how_.bytes) on_answer(c);
  }
}

void load::on_answer(connection& c) {
  last_answer_ns_ = now_ns();
  c.is_busy = false;
  --under_way_;
  if (!is_repeating_) return;
  latencies_.push_back(last_answer_ns_ - c.sent_at);
  request(next(c));
}

/// The connection of the next request.
connection& load::next(connection& after) {
  if (!how_.is_rotating) return after;
  do {
    next_ = (next_ + 1) % connections_.size();
  } while (connections_[next_].is_busy);  // `after` is not
  return connections_[next_];
}

/// Waits a moment and handles what has come.
void load::turn() {
  epoll_event events[events_per_turn];
  const int count = epoll_wait(epoll_, events, events_per_turn, turn_ms);
  if (count < 0 && errno != EINTR) fail_with_errno("epoll_wait");
  for (int i = 0; i < count; ++i) on_event(*static_cast<connection*>(events[i].data.ptr));
  if (under_way_ > 0 && now_ns() > last_answer_ns_ + silence_ns_max) {
    fail("the server does not answer");
  }
}

/// Waits until all answers have come.
void load::drain() {
  while (under_way_ > 0) turn();
}

void load::run(double seconds) {
  latencies_.clear();
  is_repeating_ = true;
  last_answer_ns_ = now_ns();
  const std::int64_t begun = last_answer_ns_;
  const std::int64_t end = begun + static_cast<std::int64_t>(seconds * second_ns);
  next_ = how_.active - 1;
  for (std::size_t i = 0; i < how_.active; ++i) request(connections_[i]);
  while (now_ns() < end) turn();
  is_repeating_ = false;
  const std::int64_t ended = now_ns();
  drain();
  if (latencies_.empty()) fail("no request was answered");
  std::sort(latencies_.begin(), latencies_.end());
  const auto quantile_us = [this](std::size_t percent) {
    return static_cast<double>(latencies_[latencies_.size() * percent / 100]) / 1000;
  };
  std::printf("{\"requests\": %zu, \"seconds\": %.6f, \"p50_us\": %.1f, \"p99_us\": %.1f}\n",
              latencies_.size(), static_cast<double>(ended - begun) / second_ns, quantile_us(50),
              quantile_us(99));
  std::fflush(stdout);
}

/// Shuts down every connection and waits until the server has closed it.
void load::close_all() {
  for (connection& c : connections_) shutdown(c.fd, SHUT_WR);
  const timeval patience{silence_ns_max / second_ns, 0};
  for (connection& c : connections_) {
    setsockopt(c.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    char byte;
    if (recv(c.fd, &byte, 1, 0) != 0) fail("the server has not closed a connection");
    close(c.fd);
  }
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
    } else if (name == "--active") {
      result.active = number;
    } else if (name == "--bytes") {
      result.bytes = std::min<std::size_t>(number, bytes_max);
    } else if (name == "--rotate") {
      result.is_rotating = true;
    } else {
      fail("the options are --port --connections --active --bytes --rotate");
    }
  }
  if (result.port == 0) fail("--port is missing");
  if (result.active > result.connections) fail("more connections active than there are");
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
  generator.open_all();
  char line[64];
  while (std::fgets(line, sizeof line, stdin) != nullptr) {
    const double seconds = std::strtod(line, nullptr);
    if (!(seconds > 0 && seconds <= 60)) fail("a round lasts up to 60 seconds");
    generator.run(seconds);
  }
  generator.close_all();
}
