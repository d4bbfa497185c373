// An HTTP server on all processors: a worker per processor, a listener per worker, a fiber per
// connection.
//
// All listeners of the net::stream_server share one port, so the kernel deals the connections out,
// and each is accepted and served by fibers of one worker: nothing that a request touches is shared
// between threads, and nothing is locked. The thread of main is none of the workers; it waits for
// SIGINT or SIGTERM. Then each worker stops accepting, answers what has arrived, and ends.

#include "common/command_line.hpp"
#include "common/http.hpp"
#include "common/number_walk.hpp"
#include "common/stop_signal.hpp"

#include <coir/coir.hpp>
#include <coir/net.hpp>

#include <array>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <list>
#include <string>
#include <string_view>
#include <system_error>

#include <getopt.h>

namespace {

using namespace std::chrono_literals;
namespace net = coir::net;

constexpr std::size_t receive_bytes = 16 * 1024;
constexpr std::uint64_t walk_steps_max = 100'000'000;  // some tenths of a second
constexpr auto client_patience = 60s;  // for the next request, and for taking an answer
constexpr auto parting_patience = 5s;  // for the last answers, when a connection is to end

constexpr char usage[] =
    "usage: worker_server [options]\n"
    "  --address A  the address to listen on, IPv4 or IPv6 (127.0.0.1)\n"
    "  --port N     the port to listen on; 0 lets the kernel choose (0)\n"
    "  --workers N  threads that serve; 0 is COIR_WORKERS, or one for each processor (0)\n"
    "Answers GET / with a greeting and GET /walk/START/STEPS with the number that so many steps "
    "of\n"
    "a random number generator lead to, which is work. Prints the port once it listens. SIGINT or\n"
    "SIGTERM ends it.\n";

struct options {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;
  std::size_t workers = 0;
  bool is_help = false;
};

options parse(int argc, char** argv) {
  static const option known[] = {{"address", required_argument, nullptr, 'a'},
                                 {"port", required_argument, nullptr, 'p'},
                                 {"workers", required_argument, nullptr, 'w'},
                                 {"help", no_argument, nullptr, 'h'},
                                 {}};
  options result;
  for (int c; (c = getopt_long(argc, argv, "h", known, nullptr)) != -1;) {
    if (c == 'a') {
      result.address = optarg;
    } else if (c == 'p') {
      result.port = static_cast<std::uint16_t>(example::number("--port", optarg, 0, 65535));
    } else if (c == 'w') {
      result.workers = static_cast<std::size_t>(
          example::number("--workers", optarg, 0, coir::worker_options::count_max));
    } else if (c == 'h') {
      result.is_help = true;
    } else {
      throw example::usage_error("");
    }
  }
  if (optind != argc) throw example::usage_error("too many arguments");
  return result;
}

/// What one worker serves. Made by any thread; all members but the counter are then used by fibers
/// of that worker only.
class site {
 public:
  explicit site(std::size_t worker) : header_("X-Worker: " + std::to_string(worker) + "\r\n") {}
  site(const site&) = delete;
  site& operator=(const site&) = delete;

  /// Serves one connection.
  void serve(net::stream& connection);
  /// Lets the connections end once the requests that have arrived are answered. Never parks.
  void close();
  /// For when all have ended.
  std::uint64_t requests_served() const { return requests_served_; }

 private:
  bool answer_all(std::string& unread, std::string& answers);
  void answer(const example::http_request& request, std::string& answers);

  const std::string header_;             ///< of each answer
  std::list<net::stream*> connections_;  ///< those that are open
  bool is_closed_ = false;
  std::uint64_t requests_served_ = 0;
};

void site::close() {
  is_closed_ = true;
  std::error_code ignored;  // the peer may have gone
  for (net::stream* const each : connections_) each->shutdown(net::direction::read, ignored);
}

void site::serve(net::stream& connection) {
  struct leave_at_end {
    std::list<net::stream*>& all;
    std::list<net::stream*>::iterator place;
    ~leave_at_end() { all.erase(place); }
  } leave{connections_, connections_.insert(connections_.end(), &connection)};
  // That a client goes, or is too slow, is no failure of the server: it ends just this fiber.
  std::error_code error;
  if (is_closed_) connection.shutdown(net::direction::read, error);
  std::array<char, receive_bytes> buffer;
  std::string unread;
  std::string answers;
  for (bool is_kept = true; is_kept && !error;) {
    connection.expires_after(client_patience);
    const std::size_t size = connection.read_some(buffer, error);
    if (size == 0) return;
    unread.append(buffer.data(), size);
    is_kept = answer_all(unread, answers);
    connection.write_all(answers, error);
    answers.clear();
  }
  // Closing with something unread would reset the connection, and the client lose the answer.
  connection.expires_after(parting_patience);
  connection.shutdown(net::direction::write, error);
  while (!error && connection.read_some(buffer, error) > 0) {
  }
}

/// Answers the requests that are complete, and takes them off `unread`. False when the connection
/// is to be closed behind the answers.
bool site::answer_all(std::string& unread, std::string& answers) {
  std::string_view rest = unread;
  bool is_kept = true;
  try {
    while (is_kept) {
      const auto request = example::take_request(rest);
      if (!request) break;
      is_kept = request->is_kept;
      answer(*request, answers);
      rest.remove_prefix(request->bytes);
    }
  } catch (const example::http_error& error) {
    is_kept = false;
    example::append_answer(answers, error.status, header_ + "Connection: close\r\n", "refused\n");
  }
  unread.erase(0, unread.size() - rest.size());
  return is_kept;
}

/// Where /walk/START/STEPS leads. Throws http_error when `numbers` are not two.
std::string walk_from(std::string_view numbers) {
  const char* const end = numbers.data() + numbers.size();
  std::uint64_t start = 0;
  std::uint64_t steps = 0;
  const auto first = std::from_chars(numbers.data(), end, start);
  if (first.ec != std::errc() || first.ptr == end || *first.ptr != '/') {
    throw example::http_error{"404 Not Found"};
  }
  const auto second = std::from_chars(first.ptr + 1, end, steps);
  if (second.ec != std::errc() || second.ptr != end || steps > walk_steps_max) {
    throw example::http_error{"404 Not Found"};
  }
  return std::to_string(example::walk(start, steps)) + "\n";
}

void site::answer(const example::http_request& request, std::string& answers) {
  constexpr std::string_view walk = "/walk/";
  ++requests_served_;
  if (request.method != "GET") throw example::http_error{"405 Method Not Allowed"};
  if (request.path == "/") {
    example::append_answer(answers, "200 OK", header_, "hello\n");
  } else if (request.path.starts_with(walk)) {
    const std::string body = walk_from(request.path.substr(walk.size()));
    example::append_answer(answers, "200 OK", header_, body);
  } else {
    throw example::http_error{"404 Not Found"};
  }
}

int run(const options& how) {
  const bool is_v6 = how.address.find(':') != std::string::npos;
  const net::address local =
      is_v6 ? net::address::ipv6(how.address, how.port) : net::address::ipv4(how.address, how.port);
  std::deque<site> sites;
  coir::workers crew({.count = how.workers, .name = "server"});
  for (std::size_t i = 0; i < crew.size(); ++i) sites.emplace_back(i);
  const auto own_site = [&sites]() -> site& {
    return sites[static_cast<std::size_t>(coir::workers::current_number())];
  };
  net::stream_server::options serving;
  serving.on = &crew;
  net::stream_server server(
      local, [&](net::stream& connection) { own_site().serve(connection); }, serving);
  server.start();
  example::stop_signal on_signal([&] {
    coir::joinall(crew.spawn_on_each([&] { own_site().close(); }));
    server.stop(parting_patience);
  });
  std::printf("listening on %s (%s)\n", server.local_address().to_string().c_str(),
              coir::backend());
  std::fflush(stdout);
  server.serve_forever();
  std::printf("served");
  for (const site& each : sites) {
    std::printf(" %llu", static_cast<unsigned long long>(each.requests_served()));
  }
  std::printf(" requests\n");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return example::run_main("worker_server", usage, [&] {
    const options how = parse(argc, argv);
    return how.is_help ? example::show_help(usage) : run(how);
  });
}
