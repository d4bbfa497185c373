// The load of the workers benchmark: HTTP over many connections, every answer checked.
//
// Each connection has `--depth` requests for /walk/START/STEPS under way, all of different starts.
// The server walks; where a walk leads is known here without walking, so a request costs this
// process little, and a server that did not do its work is found out. Answers may name the worker
// that gave them (X-Worker: N); how connections and requests were spread is told at the end of each
// round. bench/load_tools.hpp says how rounds are asked for.

#include "bench/load_tools.hpp"
#include "examples/common/number_walk.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <deque>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

using bench::fail;
using bench::fail_with_errno;
using bench::now_ns;

constexpr std::size_t receive_bytes = 64 * 1024;
constexpr int events_per_turn = 64;
constexpr int turn_wait_ms = 100;
constexpr double warm_up_share = 0.25;  // of a round, before its window
constexpr std::size_t workers_max = 64;

struct options {
  std::uint16_t port = 0;
  std::size_t connections = 64;
  std::size_t depth = 16;
  std::uint64_t steps = 1;
  pid_t server = 0;
};

struct connection {
  int fd = -1;
  std::string unsent;
  std::string unread;                   ///< a part of an answer
  std::deque<std::uint64_t> under_way;  ///< the starts of its requests
  std::size_t worker = workers_max;     ///< who answers; workers_max while that is not known
};

/// What has happened up to one moment.
struct reading {
  std::int64_t time_ns;
  std::int64_t server_cpu_ns;
  std::int64_t load_cpu_ns;
  std::array<std::uint64_t, workers_max + 1> answers;  ///< by worker; the last: of nobody known
};

/// The number behind `name` in the head of an answer, or `otherwise`.
std::uint64_t header_number(std::string_view head, std::string_view name, std::uint64_t otherwise) {
  const std::size_t at = head.find(name);
  if (at == std::string_view::npos) return otherwise;
  const char* const from = head.data() + at + name.size();
  std::uint64_t value = 0;
  if (std::from_chars(from, head.data() + head.size(), value).ec != std::errc()) {
    fail("an answer has a header that is no number");
  }
  return value;
}

class load {
 public:
  explicit load(const options& how);
  /// One round; returns its line of JSON.
  std::string run(double seconds);

 private:
  void request(connection& c, std::size_t count);
  void flush(connection& c);
  void on_event(connection& c);
  std::size_t take_answers(connection& c);
  std::size_t take_answer(connection& c, std::string_view bytes);
  void turn();
  void run_until(std::int64_t when);
  void drain();
  reading read_clocks() const;
  std::string describe(const reading& before, const reading& after) const;

  const options how_;
  const example::walk_end end_;
  const std::string tail_;  ///< of each request
  const clockid_t server_clock_;
  const int epoll_ = epoll_create1(EPOLL_CLOEXEC);
  std::vector<connection> connections_;
  std::vector<char> buffer_;
  std::array<std::uint64_t, workers_max + 1> answers_{};
  std::uint64_t next_start_ = 1;
  std::size_t under_way_ = 0;
  bool is_repeating_ = false;  ///< each answer is followed by another request
  std::int64_t last_answer_ns_ = now_ns();
};

load::load(const options& how)
    : how_(how),
      end_(how.steps),
      tail_("/" + std::to_string(how.steps) + " HTTP/1.1\r\nHost: localhost\r\n\r\n"),
      server_clock_(bench::cpu_clock_of(how.server)),
      connections_(how.connections),
      buffer_(receive_bytes) {
  for (connection& c : connections_) {
    c.fd = bench::connect_to(how_.port, epoll_, &c);
    request(c, 1);
  }
  drain();
}

/// Sends `count` more requests.
void load::request(connection& c, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    c.under_way.push_back(next_start_);
    c.unsent += "GET /walk/" + std::to_string(next_start_++) + tail_;
  }
  under_way_ += count;
  flush(c);
}

void load::flush(connection& c) {
  while (!c.unsent.empty()) {
    const ssize_t sent = send(c.fd, c.unsent.data(), c.unsent.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno == EAGAIN) return;
    if (sent < 0) fail_with_errno("send");
    c.unsent.erase(0, static_cast<std::size_t>(sent));
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
    c.unread.append(buffer_.data(), size);
    const std::size_t count = take_answers(c);
    if (is_repeating_) request(c, count);
    if (size < buffer_.size()) return;
  }
}

/// Checks the answers that are complete; returns how many there were.
std::size_t load::take_answers(connection& c) {
  std::size_t count = 0;
  std::string_view rest = c.unread;
  while (const std::size_t size = take_answer(c, rest)) {
    rest.remove_prefix(size);
    ++count;
  }
  c.unread.erase(0, c.unread.size() - rest.size());
  under_way_ -= count;
  if (count > 0) last_answer_ns_ = now_ns();
  return count;
}

/// Checks the answer that `bytes` begin with; returns its length, 0 when a part is still to come.
std::size_t load::take_answer(connection& c, std::string_view bytes) {
  const std::size_t head_end = bytes.find("\r\n\r\n");
  if (head_end == std::string_view::npos) return 0;
  const std::string_view head = bytes.substr(0, head_end + 2);
  if (!head.starts_with("HTTP/1.1 200 ")) fail("an answer is none of success");
  const std::size_t body_size = header_number(head, "\r\nContent-Length: ", 0);
  if (bytes.size() < head.size() + 2 + body_size) return 0;
  const std::string_view body = bytes.substr(head.size() + 2, body_size);
  if (c.under_way.empty()) fail("an answer has no question");
  if (body != std::to_string(end_.from(c.under_way.front())) + "\n") {
    fail("a walk does not lead to where it should");
  }
  c.under_way.pop_front();
  c.worker = std::min(header_number(head, "\r\nX-Worker: ", workers_max), workers_max);
  ++answers_[c.worker];
  return head.size() + 2 + body_size;
}

/// Waits and handles what has come.
void load::turn() {
  epoll_event events[events_per_turn];
  const int count = epoll_wait(epoll_, events, events_per_turn, turn_wait_ms);
  if (count < 0 && errno != EINTR) fail_with_errno("epoll_wait");
  for (int i = 0; i < count; ++i) on_event(*static_cast<connection*>(events[i].data.ptr));
  if (now_ns() > last_answer_ns_ + bench::silence_ns_max) fail("the server does not answer");
}

void load::run_until(std::int64_t when) {
  while (now_ns() < when) turn();
}

/// Waits until all requests have been answered.
void load::drain() {
  while (under_way_ > 0) turn();
}

reading load::read_clocks() const {
  return {now_ns(), bench::clock_ns(server_clock_), bench::clock_ns(CLOCK_PROCESS_CPUTIME_ID),
          answers_};
}

std::string load::run(double seconds) {
  const auto window_ns = static_cast<std::int64_t>(seconds * bench::second_ns);
  is_repeating_ = true;
  last_answer_ns_ = now_ns();
  for (connection& c : connections_) request(c, how_.depth);
  run_until(now_ns() + static_cast<std::int64_t>(static_cast<double>(window_ns) * warm_up_share));
  const reading before = read_clocks();
  run_until(before.time_ns + window_ns);
  const reading after = read_clocks();
  is_repeating_ = false;
  drain();
  return describe(before, after);
}

std::string load::describe(const reading& before, const reading& after) const {
  std::ostringstream connections;
  std::ostringstream answers;
  std::uint64_t sum = after.answers[workers_max] - before.answers[workers_max];
  const char* separator = "";
  for (std::size_t worker = 0; worker < workers_max; ++worker) {
    const std::uint64_t count = after.answers[worker] - before.answers[worker];
    const auto own = std::count_if(connections_.begin(), connections_.end(),
                                   [&](const connection& c) { return c.worker == worker; });
    if (count == 0 && own == 0) continue;
    sum += count;
    answers << separator << count;
    connections << separator << own;
    separator = ", ";
  }
  std::ostringstream line;
  line << "{\"requests\": " << sum << ", \"wall_ns\": " << after.time_ns - before.time_ns
       << ", \"server_cpu_ns\": " << after.server_cpu_ns - before.server_cpu_ns
       << ", \"load_cpu_ns\": " << after.load_cpu_ns - before.load_cpu_ns
       << ", \"connections_by_worker\": [" << connections.str() << "], \"answers_by_worker\": ["
       << answers.str() << "]}";
  return line.str();
}

options parse(int argc, char** argv) {
  options result;
  bench::parse_numbers(
      argc, argv,
      {
          {"--port", [&](unsigned long n) { result.port = static_cast<std::uint16_t>(n); }},
          {"--connections", [&](unsigned long n) { result.connections = n; }},
          {"--depth", [&](unsigned long n) { result.depth = n; }},
          {"--steps", [&](unsigned long n) { result.steps = n; }},
          {"--server-pid", [&](unsigned long n) { result.server = static_cast<pid_t>(n); }},
      });
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  alarm(bench::load_life_seconds_max);
  bench::raise_descriptor_limit();
  load generator(parse(argc, argv));
  bench::serve_rounds([&](double seconds) { return generator.run(seconds); });
}
