// A chat over UDP: what one peer sends goes to all others that were heard of lately.
//
// A datagram has no connection behind it, so a peer is known by its address from its first datagram
// on, and forgotten when it has been silent for a while. Datagrams are handled in turn: handling
// one never waits for long, and all peers then see them in the same order. SIGINT or SIGTERM ends
// the server.

#include "common/command_line.hpp"
#include "common/server.hpp"
#include "common/stop_signal.hpp"

#include <coir/coir.hpp>
#include <coir/net.hpp>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>

namespace {

using namespace std::chrono_literals;
namespace net = coir::net;
using clock_type = std::chrono::steady_clock;

constexpr std::size_t datagram_max = 1400;  // what passes most networks in one piece

constexpr char usage[] =
    "usage: udp_chat [options]\n"
    "  --address A  the address to receive at, IPv4 or IPv6 (127.0.0.1)\n"
    "  --port N     the port to receive at; 0 lets the kernel choose (0)\n"
    "  --idle S     seconds of silence after which a peer is forgotten (60)\n"
    "Talk to it with: nc -u ADDRESS PORT. An empty datagram only says that you are still there.\n"
    "SIGINT or SIGTERM ends it.\n";

struct options {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;
  std::chrono::milliseconds idle = 60s;
};

options parse(int argc, char** argv) {
  options result;
  example::command_line line;
  line.text("address", result.address).number("port", result.port, 0, 65535);
  line.seconds("idle", result.idle).parse(argc, argv);
  return result;
}

/// The peers that were heard of lately.
class company {
 public:
  explicit company(std::chrono::milliseconds idle) : idle_(idle) {}

  /// Passes a datagram on to everybody but its sender.
  void hear(const net::datagram& got) {
    const auto now = clock_type::now();
    std::erase_if(heard_, [&](const auto& each) { return now - each.second > idle_; });
    heard_[got.peer()] = now;
    if (got.bytes().empty()) return;
    std::string text = got.peer().to_string() + ": " + std::string(got.bytes());
    if (got.is_truncated()) text += " [cut off]\n";
    for (const auto& [peer, when] : heard_) {
      std::error_code ignored;  // a peer that is gone is forgotten in time
      if (peer != got.peer()) got.socket().send_to(text, peer, ignored);
    }
    ++passed_on_;
  }

  std::uint64_t passed_on() const { return passed_on_; }

 private:
  const std::chrono::milliseconds idle_;
  std::unordered_map<net::address, clock_type::time_point> heard_;  ///< when last
  std::uint64_t passed_on_ = 0;
};

int run(const options& how) {
  company peers(how.idle);
  net::datagram_server::options serving;
  serving.in_turn = true;
  serving.size_max = datagram_max;
  net::datagram_server server(
      example::ip_address(how.address, how.port),
      [&peers](const net::datagram& got) { peers.hear(got); }, serving);
  server.start();
  example::stop_signal on_signal([&server] { server.stop(); });
  example::say_where(server.local_address());
  server.serve_forever();
  std::printf("passed on %llu datagrams\n", static_cast<unsigned long long>(peers.passed_on()));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return example::run_main("udp_chat", usage, [&] { return run(parse(argc, argv)); });
}
