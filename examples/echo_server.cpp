// A TCP echo server: a fiber per connection, all of them on one thread.
//
// Each connection is served by straight code, read then write, as if it had the thread for itself.
// The server ends on SIGINT or SIGTERM: it stops accepting, ends its fibers where they wait, and
// says what it did. When descriptors or memory run out it goes on serving and accepts again once
// a connection has ended: all that is in net::stream_server.

#include "common/command_line.hpp"
#include "common/server.hpp"
#include "common/stop_signal.hpp"

#include <coir/coir.hpp>
#include <coir/net.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <system_error>

#include <sys/resource.h>

namespace {

namespace net = coir::net;

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
};

options parse(int argc, char** argv) {
  options result;
  example::command_line line;
  line.text("address", result.address).number("port", result.port, 0, 65535);
  line.number("backlog", result.backlog, 1, 65535);
  line.number("buffer", result.buffer_bytes, 1, 1 << 24).parse(argc, argv);
  return result;
}

/// Sends back what a client sends, until it has no more, and adds to `echoed` how much that was.
/// That a client resets its connection is no failure of the server: it ends just this fiber.
void echo(net::stream& client, std::size_t buffer_bytes, std::uint64_t& echoed) {
  const auto buffer = std::make_unique_for_overwrite<std::byte[]>(buffer_bytes);
  std::error_code error;
  while (!error) {
    const std::size_t size = client.read_some({buffer.get(), buffer_bytes}, error);
    if (size == 0) return;
    echoed += client.write_all({buffer.get(), size}, error);
  }
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
  std::uint64_t bytes_echoed = 0;
  net::stream_server::options serving;
  serving.backlog = how.backlog;
  net::stream_server server(
      example::ip_address(how.address, how.port),
      [&](net::stream& client) { echo(client, how.buffer_bytes, bytes_echoed); }, serving);
  server.start();
  example::stop_signal on_signal([&server] { server.stop(); });
  example::say_where(server.local_address());
  server.serve_forever();
  std::printf("served %llu connections, %llu bytes\n",
              static_cast<unsigned long long>(server.counters().accepted),
              static_cast<unsigned long long>(bytes_echoed));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return example::run_main("echo_server", usage, [&] { return run(parse(argc, argv)); });
}
