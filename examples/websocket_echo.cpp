// A WebSocket echo server: messages come back as they were, and "/" has a page to try it with.
//
// Each connection is a handler of an HTTP server that reads and writes in a loop. On SIGINT or
// SIGTERM each client is told that the server goes away, which a browser shows as code 1001; those
// that do not answer are left after some seconds.

#include "common/command_line.hpp"
#include "common/server.hpp"
#include "common/stop_signal.hpp"

#include <coir/coir.hpp>
#include <coir/net.hpp>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <list>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

namespace {

using namespace std::chrono_literals;
namespace net = coir::net;

// Longer than a web_socket waits for the answer to its close.
constexpr auto stop_grace = 8s;

constexpr char usage[] =
    "usage: websocket_echo [options]\n"
    "  --address A  the address to listen on, IPv4 or IPv6 (127.0.0.1)\n"
    "  --port N     the port to listen on; 0 lets the kernel choose (0)\n"
    "  --compress   agree on compression with clients that want it\n"
    "Echoes at ws://A:N/echo; a browser finds a page at http://A:N/. Prints the port once it\n"
    "listens. SIGINT or SIGTERM ends it.\n";

constexpr char page[] =
    "<!doctype html><title>echo</title><input id=text autofocus><pre id=log></pre><script>\n"
    "const log = line => document.getElementById('log').textContent += line + '\\n';\n"
    "const socket = new WebSocket('ws://' + location.host + '/echo');\n"
    "socket.onmessage = event => log(event.data);\n"
    "socket.onclose = event => log('closed: ' + event.code + ' ' + event.reason);\n"
    "document.getElementById('text').onchange = event => {\n"
    "  socket.send(event.target.value);\n"
    "  event.target.value = '';\n"
    "};\n"
    "</script>\n";

struct options {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;
  bool compresses = false;
};

options parse(int argc, char** argv) {
  options result;
  example::command_line line;
  line.text("address", result.address).number("port", result.port, 0, 65535);
  line.flag("compress", result.compresses).parse(argc, argv);
  return result;
}

/// Echoes on each WebSocket. Used by fibers of one thread.
class websocket_echo {
 public:
  websocket_echo(const net::address& where, bool compresses)
      : server_(where, [this](net::http_request& asked, net::http_response& answer) {
          serve(asked, answer);
        }) {
    how_.compresses = compresses;
  }

  /// Listens; throws std::system_error.
  void start() { server_.start(); }
  net::address address() const { return server_.local_address(); }
  /// Serves until stop() is done; parks.
  void run() { server_.serve_forever(); }
  /// Tells all clients, and ends; parks.
  void stop();

  std::uint64_t clients() const { return clients_; }
  std::uint64_t messages() const { return messages_; }

 private:
  struct session {
    net::web_socket socket;
    std::optional<coir::fiber<>> closer;  ///< tells the client that the server stops
  };

  void serve(net::http_request& asked, net::http_response& answer);
  void echo(net::web_socket& socket);

  net::web_socket_options how_;
  std::list<session> sessions_;
  bool is_stopping_ = false;
  std::uint64_t clients_ = 0;
  std::uint64_t messages_ = 0;
  net::http_server server_;  // last: its end waits for handlers, which use the others
};

void websocket_echo::serve(net::http_request& asked, net::http_response& answer) {
  if (asked.path() == "/") return answer.send("text/html; charset=utf-8", page);
  if (asked.path() != "/echo") throw net::http_error(404);
  if (is_stopping_) throw net::http_error(503);
  net::web_socket accepted = net::web_socket::accept(asked, answer, how_);
  struct at_end {
    std::list<session>& all;
    std::list<session>::iterator place;
    ~at_end() { all.erase(place); }
  };
  const at_end mine{sessions_,
                    sessions_.insert(sessions_.end(), session{std::move(accepted), std::nullopt})};
  ++clients_;
  echo(mine.place->socket);
  if (mine.place->closer) mine.place->closer->join();
}

void websocket_echo::echo(net::web_socket& socket) {
  // That a client vanishes, or breaks the protocol, is no failure of the server.
  std::error_code error;
  while (const auto message = socket.read(error)) {
    if (message->is_text) {
      socket.write_text(message->data, error);
    } else {
      socket.write_binary(message->data, error);
    }
    if (error) return;
    ++messages_;
  }
}

void websocket_echo::stop() {
  is_stopping_ = true;
  for (session& each : sessions_) {
    each.closer = coir::spawn(
        [&socket = each.socket] { socket.close(net::close_code::going_away, "the server stops"); });
  }
  server_.stop(stop_grace);
}

int run(const options& how) {
  websocket_echo server(example::ip_address(how.address, how.port), how.compresses);
  server.start();
  example::stop_signal on_signal([&server] { server.stop(); });
  example::say_where(server.address());
  server.run();
  std::printf("served %llu clients, %llu messages\n",
              static_cast<unsigned long long>(server.clients()),
              static_cast<unsigned long long>(server.messages()));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return example::run_main("websocket_echo", usage, [&] { return run(parse(argc, argv)); });
}
