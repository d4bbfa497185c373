/// A load in rounds: connections to one server, each with some requests under way over epoll.
///
/// Protocol. Connections are opened once and each is tried. Then each line of stdin is the length
/// of a round in seconds; the answer is a line of JSON. A round begins with a warm-up, counts
/// requests and the processor time of the server over the same window, and ends when all requests
/// have been answered. The end of stdin ends the process; any error ends it with status 1.
///
/// With `--spin 1` the load does not sleep in a round. A load that sleeps whenever it is faster
/// than the server makes the server pay for waking it, which on a virtual machine is several times
/// the cost of a request: small differences between servers then look large. The load must have a
/// processor of its own for that.
#pragma once

#include "bench/histogram.hpp"
#include "bench/load_tools.hpp"

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace bench {

/// What all these loads are told.
struct round_options {
  std::uint16_t port = 0;
  std::size_t connections = 64;
  std::size_t depth = 1;  ///< requests under way over a connection
  pid_t server = 0;
  bool is_spinning = false;
};

/// Reads these options, and `more`, which are a load's own.
inline void parse_round_options(int argc, char** argv, round_options& into,
                                std::vector<number_option> more = {}) {
  more.insert(more.end(),
              {
                  {"--port", [&](unsigned long n) { into.port = static_cast<std::uint16_t>(n); }},
                  {"--connections", [&](unsigned long n) { into.connections = n; }},
                  {"--depth", [&](unsigned long n) { into.depth = n; }},
                  {"--spin", [&](unsigned long) { into.is_spinning = true; }},
                  {"--server-pid", [&](unsigned long n) { into.server = static_cast<pid_t>(n); }},
              });
  parse_numbers(argc, argv, more);
}

/// For how long a process was ready but other work had its processor; 0 where that is not told.
inline std::int64_t delay_ns(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/schedstat");
  std::int64_t run = 0;
  std::int64_t delay = 0;
  return file >> run >> delay ? delay : 0;
}

/// What the connections of every load have.
struct round_connection {
  int fd = -1;
  std::uint64_t asked = 0;          ///< requests that are to be sent in all so far
  std::uint64_t answered = 0;       ///< requests
  std::int64_t* sent_at = nullptr;  ///< for each request under way, by its number modulo the depth
};

/// What has happened up to one moment.
struct round_reading {
  std::int64_t time_ns;
  std::int64_t server_cpu_ns;
  std::int64_t server_delay_ns;
  std::int64_t idle_ns;
  std::uint64_t requests;
  std::uint64_t bytes;
};

/// `Load` derives from this, and its `Connection` from round_connection. It has
///   void open(Connection&)      makes the connection, if it is to last
///   void flush(Connection&)     sends what it was asked for and has not sent
///   void on_event(Connection&)  handles what epoll tells of it; for each answer, note_answers
template <class Load, class Connection>
class round_load {
 public:
  explicit round_load(const round_options& how)
      : how_(how), connections_(how.connections), sent_at_(how.connections * how.depth) {
    for (std::size_t i = 0; i < connections_.size(); ++i) {
      connections_[i].sent_at = &sent_at_[i * how.depth];
    }
  }

  /// Raises what limits it, opens the connections, and sends one request over each; then runs
  /// rounds until the end of stdin.
  void serve() {
    alarm(load_life_seconds_max);
    raise_descriptor_limit();
    connect_all();
    serve_rounds([this](double seconds) { return run(seconds); });
  }

 protected:
  const round_options& how() const noexcept { return how_; }
  std::vector<Connection>& connections() noexcept { return connections_; }
  /// A connection to the server whose events go to `c`.
  int connect_for(Connection& c) { return connect_to(how_.port, epoll_, &c); }

  /// `c` has got so many answers; `bytes` of them in all, where somebody wants to know.
  void note_answers(Connection& c, std::uint64_t count, std::uint64_t bytes = 0) {
    bytes_ += bytes;
    if (bytes > 0 || count > 0) last_answer_ns_ = now_ns();
    if (count == 0) return;
    if (c.answered + count > c.asked) fail("there are more answers than requests");
    for (std::uint64_t i = c.answered; i < c.answered + count; ++i) {
      latencies_.add(static_cast<std::uint64_t>(last_answer_ns_ - c.sent_at[i % how_.depth]));
    }
    c.answered += count;
    requests_ += count;
    under_way_ -= count;
    if (is_repeating_) request(c, count);
  }

 private:
  static constexpr int events_per_turn = 256;
  static constexpr std::size_t connects_at_once = 256;  // below every listener's backlog
  static constexpr int drain_wait_ms = 100;
  static constexpr double warm_up_share = 0.2;  // of a round, before its window

  Load& self() noexcept { return static_cast<Load&>(*this); }

  void connect_all() {
    last_answer_ns_ = now_ns();
    for (std::size_t i = 0; i < connections_.size(); ++i) {
      self().open(connections_[i]);
      request(connections_[i], 1);
      if ((i + 1) % connects_at_once == 0) drain();
    }
    drain();
  }

  /// Asks for `count` more.
  void request(Connection& c, std::uint64_t count) {
    const std::int64_t now = now_ns();
    for (std::uint64_t i = c.asked; i < c.asked + count; ++i) c.sent_at[i % how_.depth] = now;
    c.asked += count;
    under_way_ += count;
    self().flush(c);
  }

  /// Waits and handles what has come.
  void turn(int timeout_ms) {
    epoll_event events[events_per_turn];
    const std::int64_t begun = now_ns();
    const int count = epoll_wait(epoll_, events, events_per_turn, timeout_ms);
    if (count < 0 && errno != EINTR) fail_with_errno("epoll_wait");
    if (timeout_ms > 0 || count <= 0) idle_ns_ += now_ns() - begun;
    for (int i = 0; i < count; ++i) self().on_event(*static_cast<Connection*>(events[i].data.ptr));
  }

  void run_until(std::int64_t when) {
    while (now_ns() < when) turn(how_.is_spinning ? 0 : 1);
  }

  /// Waits until all requests were answered.
  void drain() {
    while (under_way_ > 0) {
      turn(drain_wait_ms);
      if (now_ns() > last_answer_ns_ + silence_ns_max) fail("the server does not answer");
    }
  }

  round_reading read_clocks() const {
    return {now_ns(), clock_ns(server_clock_), delay_ns(how_.server), idle_ns_, requests_, bytes_};
  }

  std::string run(double seconds) {
    const auto window_ns = static_cast<std::int64_t>(seconds * second_ns);
    is_repeating_ = true;
    last_answer_ns_ = now_ns();
    for (Connection& c : connections_) request(c, how_.depth);
    run_until(now_ns() + static_cast<std::int64_t>(static_cast<double>(window_ns) * warm_up_share));
    latencies_.clear();
    const round_reading before = read_clocks();
    run_until(before.time_ns + window_ns);
    const std::string line = describe(before, read_clocks());
    is_repeating_ = false;
    drain();
    return line;
  }

  std::string describe(const round_reading& before, const round_reading& after) const {
    std::ostringstream line;
    const char* separator = "{";
    const auto add = [&](const char* name, auto number) {
      line << separator << '"' << name << "\": " << number;
      separator = ", ";
    };
    add("requests", after.requests - before.requests);
    add("bytes", after.bytes - before.bytes);
    add("wall_ns", after.time_ns - before.time_ns);
    add("server_cpu_ns", after.server_cpu_ns - before.server_cpu_ns);
    add("server_delay_ns", after.server_delay_ns - before.server_delay_ns);
    add("idle_ns", after.idle_ns - before.idle_ns);
    add("p50_ns", latencies_.quantile(0.5));
    add("p99_ns", latencies_.quantile(0.99));
    line << '}';
    return line.str();
  }

  const round_options how_;
  const clockid_t server_clock_ = cpu_clock_of(how_.server);
  const int epoll_ = epoll_create1(EPOLL_CLOEXEC);
  std::vector<Connection> connections_;
  std::vector<std::int64_t> sent_at_;
  std::uint64_t requests_ = 0;  ///< that were answered
  std::uint64_t bytes_ = 0;     ///< of answers
  std::uint64_t under_way_ = 0;
  bool is_repeating_ = false;  ///< each answer is followed by another request
  std::int64_t last_answer_ns_ = 0;
  std::int64_t idle_ns_ = 0;  ///< in a round, in which nothing had come
  histogram latencies_;
};

}  // namespace bench
