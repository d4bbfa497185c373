// A TCP echo server: a fiber per connection, all of them on one thread.
//
// Each connection is served by straight code, read then write, as if it had the thread for itself.
// The server ends on SIGINT or SIGTERM: it stops accepting, ends its fibers where they wait, and
// says what it did. When descriptors or memory run out it goes on serving and accepts again once
// a connection has ended.

#include "common/command_line.hpp"
#include "common/stop_signal.hpp"

#include <coir/coir.hpp>
#include <coir/net.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <list>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <getopt.h>
#include <sys/resource.h>

namespace {

using namespace std::chrono_literals;
namespace net = coir::net;

// Another process may free what we are short of, and that wakes nobody here.
constexpr auto shortage_pause = 100ms;

constexpr char usage[] =
    "usage: echo_server [options]\n"
    "  --address A  the address to listen on, IPv4 or IPv6 (127.0.0.1)\n"
    "  --port N     the port to listen on; 0 lets the kernel choose (0)\n"
    "  --backlog N  how many connections may wait to be accepted (4096)\n"
    "  --buffer N   bytes of buffer for each connection (16384)\n"
    "Prints the port once it listens. SIGINT or SIGTERM ends it.\n";

struct options {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;
  int backlog = 4096;
  std::size_t buffer_bytes = 16384;
  bool is_help = false;
};

options parse(int argc, char** argv) {
  static const option known[] = {
      {"address", required_argument, nullptr, 'a'}, {"port", required_argument, nullptr, 'p'},
      {"backlog", required_argument, nullptr, 'l'}, {"buffer", required_argument, nullptr, 'b'},
      {"help", no_argument, nullptr, 'h'},          {}};
  options result;
  for (int c; (c = getopt_long(argc, argv, "h", known, nullptr)) != -1;) {
    if (c == 'a') {
      result.address = optarg;
    } else if (c == 'p') {
      result.port = static_cast<std::uint16_t>(example::number("--port", optarg, 0, 65535));
    } else if (c == 'l') {
      result.backlog = static_cast<int>(example::number("--backlog", optarg, 1, 65535));
    } else if (c == 'b') {
      result.buffer_bytes =
          static_cast<std::size_t>(example::number("--buffer", optarg, 1, 1 << 24));
    } else if (c == 'h') {
      result.is_help = true;
    } else {
      throw example::usage_error("");
    }
  }
  if (optind != argc) throw example::usage_error("too many arguments");
  return result;
}

/// Accepts connections and echoes what they send. One thread; it is used by fibers of that thread.
class echo_server {
 public:
  echo_server(net::tcp_listener listener, std::size_t buffer_bytes)
      : listener_(std::move(listener)), buffer_bytes_(buffer_bytes) {}
  echo_server(const echo_server&) = delete;
  echo_server& operator=(const echo_server&) = delete;
  /// Ends the connections that are left.
  ~echo_server() { end_connections(); }

  /// The address it listens on.
  net::address address() const { return listener_.local_address(); }
  /// Accepts and serves; parks until stop() has been called. Throws when accepting fails for good.
  void run();
  /// Makes run() return. Never parks.
  void stop() { listener_.close(); }
  /// Ends all connections and waits until their fibers have gone.
  void end_connections();

  std::uint64_t connections_served() const { return connections_served_; }
  std::uint64_t bytes_echoed() const { return bytes_echoed_; }

 private:
  using fiber_list = std::list<coir::fiber<>>;

  /// Takes a fiber off the list when it ends, in whatever way.
  struct leave_at_end {
    echo_server& server;
    fiber_list::iterator place;
    ~leave_at_end() {
      server.fibers_.erase(place);
      server.connection_ended_.set();
    }
  };

  void start(net::tcp_stream connection);
  void serve(net::tcp_stream connection, fiber_list::iterator place);
  void wait_for_room(const char* shortage);

  net::tcp_listener listener_;
  const std::size_t buffer_bytes_;
  fiber_list fibers_;  ///< those that serve a connection now
  coir::event connection_ended_;
  bool is_short_ = false;  ///< of descriptors or memory; said so already
  std::uint64_t connections_served_ = 0;
  std::uint64_t bytes_echoed_ = 0;
};

void echo_server::run() {
  for (;;) {
    std::error_code error;
    net::tcp_stream connection = listener_.accept(error);
    if (!error) {
      is_short_ = false;
      start(std::move(connection));
    } else if (net::is_resource_shortage(error)) {
      wait_for_room(error.message().c_str());
    } else if (!listener_.is_open()) {
      return;
    } else {
      throw std::system_error(error, "accept");
    }
  }
}

void echo_server::start(net::tcp_stream connection) {
  const auto place = fibers_.emplace(fibers_.end());
  try {
    *place = coir::spawn([this, place](net::tcp_stream stream) { serve(std::move(stream), place); },
                         std::move(connection));
  } catch (const std::exception& no_memory) {
    fibers_.erase(place);
    wait_for_room(no_memory.what());  // the connection is closed by now
  }
}

void echo_server::serve(net::tcp_stream connection, fiber_list::iterator place) {
  const leave_at_end leave{*this, place};
  ++connections_served_;
  const auto buffer = std::make_unique_for_overwrite<std::byte[]>(buffer_bytes_);
  // That a client resets its connection is no failure of the server: it ends just this fiber.
  std::error_code error;
  while (!error) {
    const std::size_t size = connection.read_some({buffer.get(), buffer_bytes_}, error);
    if (size == 0) return;
    bytes_echoed_ += connection.write_all({buffer.get(), size}, error);
  }
}

void echo_server::wait_for_room(const char* shortage) {
  if (!is_short_) {
    is_short_ = true;
    std::fprintf(stderr, "echo_server: %zu connections, cannot take more now: %s\n", fibers_.size(),
                 shortage);
  }
  connection_ended_.clear();
  connection_ended_.wait_for(shortage_pause);
}

void echo_server::end_connections() {
  std::vector<coir::fiber<>> ending(fibers_.begin(), fibers_.end());
  for (coir::fiber<>& fiber : ending) fiber.kill(false);
  coir::joinall(ending);
  fibers_.clear();  // of those that had not begun
}

/// A descriptor per connection: uses what the administrator allows, not only the usual 1,024.
void raise_descriptor_limit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int run(const options& how) {
  raise_descriptor_limit();
  const bool is_v6 = how.address.find(':') != std::string::npos;
  const net::address local =
      is_v6 ? net::address::ipv6(how.address, how.port) : net::address::ipv4(how.address, how.port);
  echo_server server(net::tcp_listener::listen(local, {.backlog = how.backlog}), how.buffer_bytes);
  example::stop_signal on_signal([&server] { server.stop(); });
  std::printf("listening on %s (%s)\n", server.address().to_string().c_str(), coir::backend());
  std::fflush(stdout);
  server.run();
  server.end_connections();
  std::printf("served %llu connections, %llu bytes\n",
              static_cast<unsigned long long>(server.connections_served()),
              static_cast<unsigned long long>(server.bytes_echoed()));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return example::run_main("echo_server", usage, [&] {
    const options how = parse(argc, argv);
    return how.is_help ? example::show_help(usage) : run(how);
  });
}
