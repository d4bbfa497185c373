// An HTTP server on all processors: a worker per processor, a listener per worker, a fiber per
// connection.
//
// All listeners share one port (SO_REUSEPORT), so the kernel deals the connections out, and each is
// accepted and served by fibers of one worker: nothing that a request touches is shared between
// threads, and nothing is locked. The thread of main is none of the workers; it waits for SIGINT or
// SIGTERM. Then each worker stops accepting, answers what has arrived, and ends.

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
#include <utility>

#include <getopt.h>

namespace {

using namespace std::chrono_literals;
namespace net = coir::net;

constexpr std::size_t receive_bytes = 16 * 1024;
constexpr std::uint64_t walk_steps_max = 100'000'000;  // some tenths of a second
constexpr auto client_patience = 60s;   // for the next request, and for taking an answer
constexpr auto parting_patience = 5s;   // for the last answers, when a connection is to end
constexpr auto shortage_pause = 100ms;  // another process may free what we are short of

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

/// Sets an event when a scope is left, in whatever way.
struct set_at_end {
  coir::event& event;
  ~set_at_end() { event.set(); }
};

/// What one worker serves. Made by any thread; all members but the counter are then used by fibers
/// of that worker only.
class site {
 public:
  site(std::size_t worker, net::tcp_listener listener)
      : header_("X-Worker: " + std::to_string(worker) + "\r\n"), listener_(std::move(listener)) {}
  site(const site&) = delete;
  site& operator=(const site&) = delete;

  /// Accepts and serves; parks until stop() has been called and all connections have ended. Throws
  /// when accepting fails for good.
  void run();
  /// Makes run() return once the requests that have arrived are answered. Never parks.
  void stop();
  /// For when run() has returned.
  std::uint64_t requests_served() const { return requests_served_; }

 private:
  void serve(net::tcp_stream connection);
  bool answer_all(std::string& unread, std::string& answers);
  void answer(const example::http_request& request, std::string& answers);
  void wait_for_room(const char* shortage);

  const std::string header_;  ///< of each answer
  net::tcp_listener listener_;
  std::list<net::tcp_stream*> connections_;  ///< those that are open
  bool is_short_ = false;                    ///< of descriptors or memory; said so already
  std::uint64_t requests_served_ = 0;
  coir::group fibers_;  ///< of the connections
};

void site::run() {
  for (;;) {
    std::error_code error;
    net::tcp_stream connection = listener_.accept(error);
    if (!error) {
      is_short_ = false;
      try {
        fibers_.spawn([this](net::tcp_stream stream) { serve(std::move(stream)); },
                      std::move(connection));
      } catch (const std::exception& no_memory) {
        wait_for_room(no_memory.what());  // the connection is closed by now
      }
    } else if (net::is_resource_shortage(error)) {
      wait_for_room(error.message().c_str());
    } else if (!listener_.is_open()) {
      break;
    } else {
      throw std::system_error(error, "accept");
    }
  }
  if (!fibers_.join_for(parting_patience)) fibers_.kill();
}

void site::stop() {
  listener_.close();
  std::error_code ignored;  // the peer may have gone
  for (net::tcp_stream* const stream : connections_) {
    stream->shutdown(net::direction::read, ignored);
  }
}

void site::serve(net::tcp_stream connection) {
  struct leave_at_end {
    std::list<net::tcp_stream*>& all;
    std::list<net::tcp_stream*>::iterator place;
    ~leave_at_end() { all.erase(place); }
  } leave{connections_, connections_.insert(connections_.end(), &connection)};
  // That a client goes, or is too slow, is no failure of the server: it ends just this fiber.
  std::error_code error;
  if (!listener_.is_open()) connection.shutdown(net::direction::read, error);  // stop() came first
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

void site::wait_for_room(const char* shortage) {
  if (!is_short_) {
    is_short_ = true;
    std::fprintf(stderr, "worker_server: %zu connections, cannot take more now: %s\n",
                 fibers_.size(), shortage);
  }
  coir::sleep(shortage_pause);
}

/// A site for each worker, all of them on one port.
void make_sites(std::deque<site>& sites, std::size_t count, const options& how) {
  const bool is_v6 = how.address.find(':') != std::string::npos;
  net::address local =
      is_v6 ? net::address::ipv6(how.address, how.port) : net::address::ipv4(how.address, how.port);
  for (std::size_t i = 0; i < count; ++i) {
    auto listener = net::tcp_listener::listen(local, {.reuse_port = true});
    local = listener.local_address();  // the port that the kernel chose for the first one
    sites.emplace_back(i, std::move(listener));
  }
  std::printf("listening on %s (%s)\n", local.to_string().c_str(), coir::backend());
  std::fflush(stdout);
}

int run(const options& how) {
  std::deque<site> sites;
  coir::event ending;
  example::stop_signal on_signal([&] { ending.set(); });
  coir::workers crew({.count = how.workers, .name = "server"});
  make_sites(sites, crew.size(), how);
  auto serving = crew.spawn_on_each([&] {
    const set_at_end end_all{ending};  // a site that fails takes the others with it
    sites[static_cast<std::size_t>(coir::workers::current_number())].run();
  });
  ending.wait();
  crew.spawn_on_each(
      [&] { sites[static_cast<std::size_t>(coir::workers::current_number())].stop(); });
  crew.join();
  for (coir::fiber<>& each : serving) each.get();
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
