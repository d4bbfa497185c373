// UDP echo with broadcast: a server that answers each datagram, and a client that asks everybody.
//
// Run several servers on one port, and ask once: each of them answers. The addresses are those of
// the loopback network, 127.0.0.0/8, whose broadcast address is 127.255.255.255.

#include "common/command_line.hpp"
#include "common/server.hpp"
#include "common/stop_signal.hpp"

#include <coir/coir.hpp>
#include <coir/net.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

namespace {

using namespace std::chrono_literals;
namespace net = coir::net;

constexpr std::size_t largest_datagram = 65507;

constexpr char usage[] =
    "usage: udp_broadcast_echo [--address A] [--port N]\n"
    "       udp_broadcast_echo --ask TEXT --port N [--address A] [--wait SECONDS]\n"
    "The first form answers each datagram that comes to A (127.255.255.255), port N (0: the "
    "kernel\n"
    "chooses), with the same bytes, until SIGINT or SIGTERM. The second sends TEXT to everybody "
    "at\n"
    "that address, and prints the answers of the next SECONDS (0.5); with none its status is 1.\n";

struct options {
  std::string address = "127.255.255.255";
  std::uint16_t port = 0;
  std::optional<std::string> question;  ///< nothing: be the server
  std::chrono::milliseconds wait = 500ms;
};

options parse(int argc, char** argv) {
  options result;
  example::command_line line;
  line.text("address", result.address).number("port", result.port, 0, 65535);
  line.text("ask", result.question).seconds("wait", result.wait).parse(argc, argv);
  if (result.question && result.port == 0) throw example::usage_error("--ask needs a --port");
  return result;
}

/// Answers datagrams until the socket is closed; returns how many it answered.
std::uint64_t answer_all(net::udp_socket& socket) {
  std::array<char, largest_datagram> datagram;
  std::uint64_t answered = 0;
  for (;;) {
    std::error_code error;
    net::address sender;
    const net::received got = socket.receive_from(datagram, sender, error);
    if (!error) socket.send_to({datagram.data(), got.size}, sender, error);
    if (!error) {
      ++answered;
    } else if (!socket.is_open()) {
      return answered;
    } else {
      // One sender's trouble (gone, not reachable) is none of the others'.
      std::fprintf(stderr, "udp_broadcast_echo: %s\n", error.message().c_str());
    }
  }
}

int serve(const options& how) {
  const net::address local = net::address::ipv4(how.address, how.port);
  net::udp_socket socket = net::udp_socket::bind(local, {.reuse_address = true});
  example::stop_signal on_signal([&socket] { socket.close(); });
  example::say_where(socket.local_address());
  const std::uint64_t answered = answer_all(socket);
  std::printf("answered %llu datagrams\n", static_cast<unsigned long long>(answered));
  return 0;
}

/// Prints what comes before the socket's deadline; returns how many answers were right.
int print_answers(net::udp_socket& socket, const std::string& expected) {
  std::array<char, largest_datagram> datagram;
  int right = 0;
  for (;;) {
    std::error_code error;
    net::address sender;
    const net::received got = socket.receive_from(datagram, sender, error);
    if (error == std::errc::timed_out) return right;
    if (error) throw std::system_error(error, "receive");
    const std::string text(datagram.data(), got.size);
    std::printf("%s: %s\n", sender.to_string().c_str(), text.c_str());
    right += text == expected;
  }
}

int ask(const options& how) {
  net::udp_socket socket = net::udp_socket::bind(net::address::ipv4_loopback());
  socket.set_broadcast(true);
  socket.send_to(*how.question, net::address::ipv4(how.address, how.port));
  socket.reads_expire_after(how.wait);
  const int answers = print_answers(socket, *how.question);
  std::printf("%d answers\n", answers);
  return answers > 0 ? 0 : 1;
}

int run(const options& how) { return how.question ? ask(how) : serve(how); }

}  // namespace

int main(int argc, char** argv) {
  return example::run_main("udp_broadcast_echo", usage, [&] { return run(parse(argc, argv)); });
}
