// The client of the echo demo: holds many connections to an echo server at once and checks every
// byte that comes back.
//
// A fiber per connection. All meet before each round, so that in a round every connection has data
// under way at the same time. What is sent differs from connection to connection and from round to
// round: an answer that went to the wrong connection, or came from an old round, is found.

#include "../common/command_line.hpp"

#include <coir/coir.hpp>
#include <coir/net.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <sys/resource.h>

namespace {

using namespace std::chrono_literals;
namespace net = coir::net;

// Connecting all at once would overrun the server's queue of connections; a lost SYN costs 1 s.
constexpr std::ptrdiff_t connecting_max = 512;
// Fits into the buffers of both sockets, so that a connection may write a whole message before it
// reads any of it.
constexpr std::size_t message_max = 65536;
constexpr std::size_t read_size = 4096;

constexpr char usage[] =
    "usage: echo_load --port N [options]\n"
    "  --address A      of the server (127.0.0.1)\n"
    "  --port N         of the server\n"
    "  --connections N  how many are open at once (10000)\n"
    "  --rounds N       how often each exchanges a message (5)\n"
    "  --size N         bytes of the longest message, at most 65536 (8192)\n"
    "  --timeout S      seconds that each step may take (30)\n"
    "  --hold           when all are open, and after the last round, wait for a line on stdin\n"
    "The status is 0 when every byte came back on its own connection.\n";

struct options {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;
  std::size_t connections = 10000;
  std::uint64_t rounds = 5;
  std::size_t size = 8192;
  std::chrono::milliseconds timeout = 30s;
  bool is_holding = false;
};

options parse(int argc, char** argv) {
  options result;
  example::command_line line;
  line.text("address", result.address).number("port", result.port, 1, 65535);
  line.number("connections", result.connections, 1, 1'000'000);
  line.number("rounds", result.rounds, 1, 1'000'000).number("size", result.size, 1, message_max);
  line.seconds("timeout", result.timeout).flag("hold", result.is_holding).parse(argc, argv);
  if (result.port == 0) throw example::usage_error("--port is missing");
  return result;
}

/// A reproducible stream of bytes (splitmix64).
class byte_source {
 public:
  explicit byte_source(std::uint64_t seed) noexcept : state_(seed) {}

  std::uint64_t next() noexcept {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }

  void fill(std::vector<char>& bytes) noexcept {
    for (std::size_t at = 0; at < bytes.size(); at += sizeof(std::uint64_t)) {
      const std::uint64_t word = next();
      std::memcpy(&bytes[at], &word, std::min(sizeof word, bytes.size() - at));
    }
  }

 private:
  std::uint64_t state_;
};

/// Where all connections meet. Of one thread.
class meeting_point {
 public:
  /// Parks until open(); the last of `expected` to come wakes who waits for all.
  void arrive_and_wait(std::size_t expected) {
    if (++arrived_ == expected) all_here_.set();
    gate_.wait();
  }
  /// Parks until all are here; false when that took longer than `timeout`.
  bool wait_for_all(std::chrono::milliseconds timeout) { return all_here_.wait_for(timeout); }
  /// Makes wait_for_all return, for somebody will never come.
  void cancel() { all_here_.set(); }
  /// Lets everybody go on.
  void open() { gate_.set(); }

 private:
  std::size_t arrived_ = 0;
  coir::event all_here_;
  coir::event gate_;
};

class load {
 public:
  explicit load(const options& how);
  load(const load&) = delete;
  load& operator=(const load&) = delete;
  /// Ends the connections that are left.
  ~load();

  /// Opens all connections, exchanges and checks all messages. Throws when anything goes wrong.
  void run();

 private:
  void connection(std::size_t number);
  void talk(std::size_t number);
  net::tcp_stream connect();
  void exchange(net::tcp_stream& stream, std::uint64_t seed);
  void check_answer(net::tcp_stream& stream, const std::vector<char>& message);
  void check_end(net::tcp_stream& stream);
  void gather(std::uint64_t step);
  void report(std::uint64_t step) const;

  const options& how_;
  const net::address server_;
  coir::counting_semaphore may_connect_{connecting_max};
  std::vector<meeting_point> meetings_;  ///< one before each round, and one before closing
  std::vector<coir::fiber<>> fibers_;
  std::exception_ptr first_error_;
  std::uint64_t bytes_checked_ = 0;
};

load::load(const options& how)
    : how_(how), server_(net::address::ipv4(how.address, how.port)), meetings_(how.rounds + 1) {}

load::~load() {
  for (coir::fiber<>& fiber : fibers_) fiber.kill(false);
  coir::joinall(fibers_);
}

void wait_for_line() {
  coir::offload([] {
    std::string line;
    std::getline(std::cin, line);
  });
}

void load::run() {
  const auto begin = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < how_.connections; ++i) {
    fibers_.push_back(coir::spawn([this, i] { connection(i); }));
  }
  for (std::uint64_t step = 0; step <= how_.rounds; ++step) {
    gather(step);
    report(step);
    if (how_.is_holding && (step == 0 || step == how_.rounds)) wait_for_line();
    meetings_[step].open();
  }
  if (coir::joinall(fibers_, how_.timeout) != fibers_.size()) {
    throw std::runtime_error("the server does not close its connections");
  }
  if (first_error_) std::rethrow_exception(first_error_);
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
  std::printf("checked %llu bytes on %zu connections in %.3f s\n",
              static_cast<unsigned long long>(bytes_checked_), how_.connections, time.count());
}

/// Waits until all connections have come to `step`: the number of rounds that are done.
void load::gather(std::uint64_t step) {
  const bool is_in_time = meetings_[step].wait_for_all(how_.timeout);
  if (first_error_) std::rethrow_exception(first_error_);
  if (!is_in_time) {
    throw std::runtime_error("not all connections came through step " + std::to_string(step) +
                             " in time");
  }
}

void load::report(std::uint64_t step) const {
  if (step == 0) {
    std::printf("open %zu\n", how_.connections);
  } else {
    std::printf("round %llu of %llu done, %llu bytes checked\n",
                static_cast<unsigned long long>(step), static_cast<unsigned long long>(how_.rounds),
                static_cast<unsigned long long>(bytes_checked_));
  }
  std::fflush(stdout);
}

void load::connection(std::size_t number) {
  try {
    talk(number);
  } catch (const std::exception&) {
    if (!first_error_) first_error_ = std::current_exception();
    for (meeting_point& each : meetings_) each.cancel();
  }
}

void load::talk(std::size_t number) {
  net::tcp_stream stream = connect();
  for (std::uint64_t round = 0; round < how_.rounds; ++round) {
    meetings_[round].arrive_and_wait(how_.connections);
    exchange(stream, number * how_.rounds + round);
  }
  meetings_[how_.rounds].arrive_and_wait(how_.connections);
  check_end(stream);
}

net::tcp_stream load::connect() {
  may_connect_.acquire();
  const struct release_at_end {
    coir::counting_semaphore& semaphore;
    ~release_at_end() { semaphore.release(); }
  } guard{may_connect_};
  return net::tcp_stream::connect(server_, how_.timeout);
}

void load::exchange(net::tcp_stream& stream, std::uint64_t seed) {
  byte_source content(seed);
  std::vector<char> message(1 + content.next() % how_.size);
  content.fill(message);
  stream.write_all(message);
  check_answer(stream, message);
}

void load::check_answer(net::tcp_stream& stream, const std::vector<char>& message) {
  std::array<char, read_size> answer;
  for (std::size_t at = 0; at < message.size();) {
    const std::size_t wanted = std::min(answer.size(), message.size() - at);
    const std::size_t got = stream.read_some({answer.data(), wanted});
    if (got == 0) throw std::runtime_error("the server closed a connection");
    if (std::memcmp(answer.data(), &message[at], got) != 0) {
      throw std::runtime_error("wrong bytes came back");
    }
    at += got;
    bytes_checked_ += got;
  }
}

/// Nothing may come after the last answer but the end of the stream.
void load::check_end(net::tcp_stream& stream) {
  stream.shutdown(net::direction::write);
  char extra;
  if (stream.read_some({&extra, 1}) != 0) {
    throw std::runtime_error("more came back than was sent");
  }
}

/// Makes room for a descriptor per connection.
void raise_descriptor_limit(std::size_t connections) {
  constexpr std::size_t others = 64;  // standard streams, the reactor's
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  if (limit.rlim_max < connections + others) {
    throw std::runtime_error("too few descriptors allowed: ulimit -Hn says " +
                             std::to_string(limit.rlim_max));
  }
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int run(const options& how) {
  raise_descriptor_limit(how.connections);
  load(how).run();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return example::run_main("echo_load", usage, [&] { return run(parse(argc, argv)); });
}
