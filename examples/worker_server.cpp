// An HTTP server on all processors: a worker per processor, a listener per worker, a fiber per
// connection.
//
// All listeners of the net::http_server share one port, so the kernel deals the connections out,
// and each is accepted and served by fibers of one worker: nothing that a request touches is shared
// between threads, and nothing is locked. The thread of main is none of the workers; it waits for
// SIGINT or SIGTERM. Then each worker stops accepting, answers what has arrived, and ends.

#include "common/command_line.hpp"
#include "common/number_walk.hpp"
#include "common/server.hpp"
#include "common/stop_signal.hpp"

#include <coir/coir.hpp>
#include <coir/net.hpp>

#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace std::chrono_literals;
namespace net = coir::net;

constexpr std::uint64_t walk_steps_max = 100'000'000;  // some tenths of a second
constexpr auto grace = 30s;  // for what has arrived when the server is to end

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
};

options parse(int argc, char** argv) {
  options result;
  example::command_line line;
  line.text("address", result.address).number("port", result.port, 0, 65535);
  line.number("workers", result.workers, 0, coir::worker_options::count_max).parse(argc, argv);
  return result;
}

/// A number in the path of a request; throws http_error when it is none, or more than `most`.
std::uint64_t number_in(const net::http_request& asked, std::string_view name, std::uint64_t most) {
  const std::string_view text = asked.path_value(name);
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value > most) {
    throw net::http_error(404, "not a number up to " + std::to_string(most));
  }
  return value;
}

void greet(net::http_request&, net::http_response& answer) { answer.send("text/plain", "hello\n"); }

void walk(net::http_request& asked, net::http_response& answer) {
  const std::uint64_t start = number_in(asked, "start", UINT64_MAX);
  const std::uint64_t steps = number_in(asked, "steps", walk_steps_max);
  answer.send("text/plain", std::to_string(example::walk(start, steps)) + "\n");
}

/// What one worker counts, on cache lines of its own.
struct alignas(64) tally {
  unsigned long long requests = 0;
};

int run(const options& how) {
  coir::workers crew({.count = how.workers, .name = "server"});
  std::vector<tally> served(crew.size());
  net::http_router routes;
  routes.add("GET /", greet);
  routes.add("GET /walk/{start}/{steps}", walk);
  net::http_server::options serving;
  serving.connections.on = &crew;
  net::http_server server(
      example::ip_address(how.address, how.port),
      [&](net::http_request& asked, net::http_response& answer) {
        const int worker = coir::workers::current_number();
        ++served[static_cast<std::size_t>(worker)].requests;
        answer.headers().set("X-Worker", std::to_string(worker));
        routes(asked, answer);
      },
      std::move(serving));
  server.start();
  example::stop_signal on_signal([&] { server.stop(grace); });
  example::say_where(server.local_address());
  server.serve_forever();
  std::printf("served");
  for (const tally& each : served) std::printf(" %llu", each.requests);
  std::printf(" requests\n");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return example::run_main("worker_server", usage, [&] { return run(parse(argc, argv)); });
}
