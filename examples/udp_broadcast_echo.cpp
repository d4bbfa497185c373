// UDP echo with broadcast: a server that answers each datagram, and a client that asks everybody.
//
// Run several servers on one port, and ask once: each of them answers. The addresses are those of
// the loopback network, 127.0.0.0/8, whose broadcast address is 127.255.255.255.

#include "common/command_line.hpp"
#include "common/stop_signal.hpp"

#include <coir/coir.hpp>
#include <coir/net.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <system_error>
#include <utility>

#include <getopt.h>

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
  std::string question;
  bool is_client = false;
  std::chrono::milliseconds wait = 500ms;
  bool is_help = false;
};

options parse(int argc, char** argv) {
  static const option known[] = {
      {"address", required_argument, nullptr, 'a'}, {"port", required_argument, nullptr, 'p'},
      {"ask", required_argument, nullptr, 'q'},     {"wait", required_argument, nullptr, 'w'},
      {"help", no_argument, nullptr, 'h'},          {}};
  options result;
  for (int c; (c = getopt_long(argc, argv, "h", known, nullptr)) != -1;) {
    if (c == 'a') {
      result.address = optarg;
    } else if (c == 'p') {
      result.port = static_cast<std::uint16_t>(example::number("--port", optarg, 0, 65535));
    } else if (c == 'q') {
      result.question = optarg;
      result.is_client = true;
    } else if (c == 'w') {
      result.wait = example::seconds("--wait", optarg);
    } else if (c == 'h') {
      result.is_help = true;
    } else {
      throw example::usage_error("");
    }
  }
  if (optind != argc) throw example::usage_error("too many arguments");
  if (result.is_client && result.port == 0) throw example::usage_error("--ask needs a --port");
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
  std::printf("listening on %s (%s)\n", socket.local_address().to_string().c_str(),
              coir::backend());
  std::fflush(stdout);
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
  socket.send_to(how.question, net::address::ipv4(how.address, how.port));
  socket.reads_expire_after(how.wait);
  const int answers = print_answers(socket, how.question);
  std::printf("%d answers\n", answers);
  return answers > 0 ? 0 : 1;
}

int run(const options& how) {
  if (how.is_help) return example::show_help(usage);
  return how.is_client ? ask(how) : serve(how);
}

}  // namespace

int main(int argc, char** argv) {
  return example::run_main("udp_broadcast_echo", usage, [&] { return run(parse(argc, argv)); });
}
