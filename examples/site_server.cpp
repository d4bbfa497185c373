// A web site: the files of a folder, and a small store of notes spoken to in JSON.
//
// A router says which handler answers which request. Handlers run in the fibers of their
// connections, all on one worker: they may wait, and the notes need no lock. SIGINT or SIGTERM lets
// what is being answered be finished, and ends the connections that wait.

#include "common/command_line.hpp"
#include "common/server.hpp"
#include "common/stop_signal.hpp"

#include <coir/coir.hpp>
#include <coir/net.hpp>

#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace {

using namespace std::chrono_literals;
namespace net = coir::net;

constexpr auto grace = 5s;  // for the answers that are on their way when the server ends
constexpr std::size_t notes_max = 1000;

constexpr char usage[] =
    "usage: site_server [options]\n"
    "  --port N     the port to listen on; 0 lets the kernel choose (0)\n"
    "  --folder F   the folder whose files are served (.)\n"
    "  --quiet      no line on stdout for each request\n"
    "Answers GET with the files of the folder. POST /notes keeps the text it is sent; GET /notes\n"
    "lists the notes, GET and DELETE /notes/ID are about one of them. Prints the port once it\n"
    "listens. SIGINT or SIGTERM ends it.\n";

struct options {
  std::uint16_t port = 0;
  std::string folder = ".";
  bool is_quiet = false;
};

options parse(int argc, char** argv) {
  options result;
  example::command_line line;
  line.number("port", result.port, 0, 65535).text("folder", result.folder);
  line.flag("quiet", result.is_quiet).parse(argc, argv);
  return result;
}

/// A text as a string of JSON (RFC 8259); bytes that are no ASCII stay as they are.
std::string quoted(std::string_view text) {
  std::string out(1, '"');
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
      out += escape;
    } else {
      out += c;
    }
  }
  return out + '"';
}

/// The notes, and the handlers that are about them.
class notes {
 public:
  void add_routes(net::http_router& routes) {
    routes.add("GET /notes", [this](auto&, auto& response) { list(response); });
    routes.add("POST /notes", [this](auto& request, auto& response) { keep(request, response); });
    routes.add("GET /notes/{id}",
               [this](auto& request, auto& response) { send(response, *find(request)); });
    routes.add("DELETE /notes/{id}", [this](auto& request, auto& response) {
      all_.erase(find(request));
      response.set_status(204);
    });
  }

 private:
  using map = std::map<std::uint64_t, std::string>;

  static std::string json(const map::value_type& note) {
    return "{\"id\":" + std::to_string(note.first) + ",\"text\":" + quoted(note.second) + "}";
  }

  static void send(net::http_response& response, const map::value_type& note) {
    response.send("application/json", json(note) + "\n");
  }

  void list(net::http_response& response) const {
    std::string out = "[";
    for (const auto& note : all_) {
      if (out.size() > 1) out += ',';
      out += json(note);
    }
    response.send("application/json", out + "]\n");
  }

  void keep(net::http_request& request, net::http_response& response) {
    std::string text = request.read_body();  // other requests are answered meanwhile
    if (text.empty()) throw net::http_error(400, "a note must not be empty");
    if (all_.size() == notes_max) throw net::http_error(507, "there is no room for more notes");
    const auto place = all_.emplace(++last_id_, std::move(text)).first;
    response.set_status(201);
    response.headers().set("Location", "/notes/" + std::to_string(place->first));
    send(response, *place);
  }

  map::iterator find(const net::http_request& request) {
    const std::string_view text = request.path_value("id");
    std::uint64_t id = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
    const auto place = all_.find(id);
    const bool is_number = error == std::errc() && end == text.data() + text.size();
    if (!is_number || place == all_.end()) throw net::http_error(404, "there is no such note");
    return place;
  }

  map all_;
  std::uint64_t last_id_ = 0;
};

int run(const options& how) {
  notes kept;
  net::http_router routes;
  kept.add_routes(routes);
  routes.add("GET /{path...}", net::http_files(how.folder));

  net::http_server::options serving;
  if (!how.is_quiet) serving.http.access_log = example::print_line;
  net::http_server server(net::address::ipv4_loopback(how.port), routes, std::move(serving));
  server.start();
  example::stop_signal on_signal([&] { server.stop(grace); });
  example::say_where(server.local_address());
  server.serve_forever();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return example::run_main("site_server", usage, [&] { return run(parse(argc, argv)); });
}
