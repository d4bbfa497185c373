// A chat over TCP: rooms, names, and nobody who holds the others up.
//
// Each guest has two fibers: one reads lines and acts on them, the other writes what is in the
// guest's queue. Whoever says something puts it into the queues of the others and never waits; a
// guest whose queue is full reads too slowly and is shown out. All of it runs on one thread, so
// nothing is locked. On SIGINT or SIGTERM the guests are told, get what is left in their queues,
// and the server ends.

#include "common/command_line.hpp"
#include "common/server.hpp"
#include "common/stop_signal.hpp"

#include <coir/coir.hpp>
#include <coir/net.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace {

using namespace std::chrono_literals;
namespace net = coir::net;

constexpr std::size_t line_max = 4096;         // bytes of one line
constexpr std::size_t name_max = 32;           // of guests and rooms
constexpr std::size_t lines_unread_max = 256;  // in the queue of a slow reader
constexpr auto parting_patience = 2s;          // for what a guest should still get

constexpr char usage[] =
    "usage: chat_server [options]\n"
    "  --address A  the address to listen on, IPv4 or IPv6 (127.0.0.1)\n"
    "  --port N     the port to listen on; 0 lets the kernel choose (0)\n"
    "  --guests N   how many may be connected at a time (1000)\n"
    "Talk to it with: nc ADDRESS PORT. The first line is your name; then what you type goes to\n"
    "everybody in your room. /join ROOM changes it, /who lists it, /quit ends. SIGINT or SIGTERM\n"
    "ends the server.\n";

struct options {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;
  std::size_t guests = 1000;
};

options parse(int argc, char** argv) {
  options result;
  example::command_line line;
  line.text("address", result.address).number("port", result.port, 0, 65535);
  line.number("guests", result.guests, 1, 1'000'000).parse(argc, argv);
  return result;
}

/// The lines that a guest types.
class line_reader {
 public:
  explicit line_reader(net::stream& from) : from_(from) {}

  /// The next line without its end; nothing when there is no other, or one is too long.
  std::optional<std::string> next() {
    for (;;) {
      if (const std::size_t end = unread_.find('\n'); end != unread_.npos) {
        std::string line = unread_.substr(0, end);
        unread_.erase(0, end + 1);
        if (line.ends_with('\r')) line.pop_back();
        return line;
      }
      char buffer[1024];
      std::error_code error;
      const std::size_t size = from_.read_some(buffer, error);
      if (size == 0 || unread_.size() > line_max) return {};
      unread_.append(buffer, size);
    }
  }

 private:
  net::stream& from_;
  std::string unread_;
};

/// One who is connected.
struct guest {
  std::string name;
  std::string room = "lobby";
  net::stream& connection;
  coir::queue<std::string> unread{lines_unread_max};

  explicit guest(net::stream& s) : connection(s) {}

  /// Queues a line. Never waits: who does not read is shown out.
  void tell(const std::string& line) {
    if (unread.is_shut_down() || unread.try_put(line + '\n')) return;
    unread.shutdown_now();
    std::error_code ignored;
    connection.close(ignored);
  }

  /// Writes what is queued, until the queue is shut down and empty.
  void write_all() {
    std::error_code error;
    for (const std::string& line : unread) {
      connection.write_all(line, error);
      if (error) return unread.shutdown_now();
    }
  }
};

/// Everybody, and who is where. For fibers of one thread.
class house {
 public:
  /// Serves one connection from the first line to the last.
  void serve(net::stream& connection);
  /// Shows everybody out, with a word.
  void close();

 private:
  void welcome(guest& g, line_reader& lines);
  void talk(guest& g, line_reader& lines);
  void join(guest& g, std::string_view room);
  void tell_room(const guest& from, const std::string& line);
  std::string names_in(const std::string& room) const;

  std::map<std::string, guest*> guests_;  ///< by name
  bool is_closing_ = false;
};

bool is_good_name(std::string_view name) {
  return !name.empty() && name.size() <= name_max &&
         std::ranges::all_of(name, [](unsigned char c) { return c > ' ' && c != 127; });
}

void house::serve(net::stream& connection) {
  guest g(connection);
  coir::fiber<> writer = coir::spawn([&g] { g.write_all(); });
  struct see_off {
    guest& leaving;
    coir::fiber<>& writing;
    house& home;
    ~see_off() {
      const coir::this_fiber::no_kill politely;
      if (home.guests_.erase(leaving.name) > 0) home.tell_room(leaving, leaving.name + " left");
      leaving.unread.shutdown();
      leaving.connection.writes_expire_after(parting_patience);
      if (!writing.join_for(parting_patience)) writing.kill();
    }
  } at_end{g, writer, *this};
  line_reader lines(connection);
  welcome(g, lines);
  if (!g.name.empty()) talk(g, lines);
}

/// Asks for a name until it is a good one that nobody else has.
void house::welcome(guest& g, line_reader& lines) {
  g.tell("what is your name?");
  while (const auto name = lines.next()) {
    if (!is_good_name(*name)) {
      g.tell("a name has 1 to 32 characters and no spaces; another one?");
    } else if (is_closing_) {
      return;
    } else if (!guests_.emplace(*name, &g).second) {
      g.tell(*name + " is here already; another name?");
    } else {
      g.name = *name;
      g.tell("hello " + g.name + ", this is the lobby: " + names_in(g.room));
      return tell_room(g, g.name + " came");
    }
  }
}

void house::talk(guest& g, line_reader& lines) {
  constexpr std::string_view joining = "/join ";
  while (const auto line = lines.next()) {
    if (*line == "/quit") return g.tell("bye");
    if (*line == "/who") {
      g.tell("in " + g.room + ": " + names_in(g.room));
    } else if (line->starts_with(joining)) {
      join(g, std::string_view(*line).substr(joining.size()));
    } else if (line->starts_with('/')) {
      g.tell("there are /join ROOM, /who and /quit");
    } else if (!line->empty()) {
      tell_room(g, g.name + ": " + *line);
    }
  }
}

void house::join(guest& g, std::string_view room) {
  if (!is_good_name(room)) return g.tell("a room has 1 to 32 characters and no spaces");
  tell_room(g, g.name + " left");
  g.room = room;
  tell_room(g, g.name + " came");
  g.tell("in " + g.room + ": " + names_in(g.room));
}

void house::tell_room(const guest& from, const std::string& line) {
  for (const auto& [name, other] : guests_) {
    if (other != &from && other->room == from.room) other->tell(line);
  }
}

std::string house::names_in(const std::string& room) const {
  std::string names;
  for (const auto& [name, other] : guests_) {
    if (other->room == room) names += (names.empty() ? "" : " ") + name;
  }
  return names;
}

void house::close() {
  is_closing_ = true;
  for (const auto& [name, each] : guests_) {
    each->tell("the house closes");
    std::error_code ignored;  // the guest may have gone
    each->connection.shutdown(net::direction::read, ignored);
  }
}

int run(const options& how) {
  house home;
  net::stream_server::options serving;
  serving.max_connections = how.guests;
  net::stream_server server(
      example::ip_address(how.address, how.port),
      [&home](net::stream& connection) { home.serve(connection); }, serving);
  server.start();
  example::stop_signal on_signal([&] {
    home.close();
    server.stop(2 * parting_patience);
  });
  example::say_where(server.local_address());
  server.serve_forever();
  std::printf("served %llu guests\n", static_cast<unsigned long long>(server.counters().accepted));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return example::run_main("chat_server", usage, [&] { return run(parse(argc, argv)); });
}
