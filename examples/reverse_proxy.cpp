// A reverse proxy: passes what clients ask on to other HTTP servers, in turn, and their answers
// back.
//
// Each client's connection is a fiber, and so is each watch over a client that waits: when the
// client leaves, the watch fails, the scope throws that into the handler, and what was asked on the
// client's behalf ends with it. Bodies go through in parts, as fast as the slower side takes them.

#include "common/command_line.hpp"
#include "common/server.hpp"
#include "common/stop_signal.hpp"

#include <coir/coir.hpp>
#include <coir/handlers.hpp>
#include <coir/net.hpp>

#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
namespace net = coir::net;

constexpr auto grace = 10s;  // for the answers that are on their way when the proxy ends
constexpr std::size_t part_bytes = 32 * 1024;
constexpr std::size_t upstream_connections_max = 1000;  // to each; further requests wait
constexpr char name_in_via[] = "1.1 coir";

constexpr char usage[] =
    "usage: reverse_proxy --to HOST:PORT [--to HOST:PORT ...] [options]\n"
    "  --to H:P     a server that requests are passed to; several take turns\n"
    "  --address A  the address to listen on, IPv4 or IPv6 (127.0.0.1)\n"
    "  --port N     the port to listen on; 0 lets the kernel choose (0)\n"
    "  --timeout S  how many seconds a server may be silent (30)\n"
    "  --quiet      no line on stdout for each request\n"
    "A request that can safely be sent twice, or that has not been sent at all, goes to the next\n"
    "server when one cannot be reached; without any left the answer is 502, and 504 when a server\n"
    "is silent for too long. A request goes out as a whole before its answer is taken. WebSockets\n"
    "go through. Prints the port once it listens. SIGINT or SIGTERM lets it finish what it does,\n"
    "and ends it.\n";

struct options {
  std::vector<std::string> upstreams;
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;
  std::chrono::milliseconds timeout = 30s;
  bool is_quiet = false;
};

options parse(int argc, char** argv) {
  options result;
  example::command_line line;
  line.texts("to", result.upstreams).text("address", result.address);
  line.number("port", result.port, 0, 65535).seconds("timeout", result.timeout);
  line.flag("quiet", result.is_quiet).parse(argc, argv);
  if (result.upstreams.empty()) throw example::usage_error("say where --to pass requests");
  for (const std::string& each : result.upstreams) net::url::parse("http://" + each);
  return result;
}

/// All fields but those that are about one connection: RFC 9110, section 7.6.1.
net::http_headers end_to_end(const net::http_headers& from) {
  net::http_headers result;
  for (const net::http_headers::field each : from) {
    if (!from.has_token("Connection", each.name)) result.add(each.name, each.value);
  }
  for (const char* each : {"Connection", "Proxy-Connection", "Keep-Alive", "TE", "Trailer",
                           "Transfer-Encoding", "Upgrade", "Expect"}) {
    result.remove(each);
  }
  return result;
}

/// Asks for another protocol, as WebSockets do, or agrees to it, if `from` does.
void copy_upgrade(const net::http_headers& from, net::http_headers& to) {
  if (!from.has_token("Connection", "upgrade") || !from.contains("Upgrade")) return;
  to.set("Connection", "Upgrade");
  to.set("Upgrade", from.get("Upgrade"));
}

/// Adds to the list in a field.
void append(net::http_headers& headers, std::string_view name, std::string_view value) {
  std::string list;
  for (const net::http_headers::field each : headers) {
    if (net::http_headers({{each.name, ""}}).contains(name)) list.append(each.value).append(", ");
  }
  headers.set(name, list.append(value));
}

class reverse_proxy {
 public:
  explicit reverse_proxy(const options& how) : how_(how), client_(client_options(how)) {}

  /// Connections are to go through this, which remembers them for the watch over their clients: it
  /// runs in the fiber that calls the handler later.
  std::unique_ptr<net::stream> remember(std::unique_ptr<net::stream> accepted) {
    connection_.set(accepted.get());
    return accepted;
  }

  /// The handler of all requests.
  void pass_on(net::http_request& asked, net::http_response& answer) {
    coir::scope watch(coir::on_failure::kill_others);
    std::string upstream;
    net::http_exchange got = ask(asked, watch, upstream);
    answer.headers() = end_to_end(got.headers());
    append(answer.headers(), "Via", name_in_via);
    if (got.status() == 101) {
      watch.kill();  // from here on it reads itself
      copy_upgrade(got.headers(), answer.headers());
      return tunnel(answer.upgrade(), *got.take_connection());
    }
    answer.set_status(got.status());
    if (!got.content_length()) answer.write("");  // who knows when more comes
    std::vector<char> part(part_bytes);
    std::error_code ec;
    while (const std::size_t count = got.read_some(part, ec)) answer.write({part.data(), count});
    if (ec) fail(upstream, ec);
    watch.kill();
  }

 private:
  static net::http_client::options client_options(const options& how) {
    net::http_client::options result;
    result.connect_timeout = result.response_timeout = how.timeout;
    result.read_timeout = result.write_timeout = how.timeout;
    result.total_timeout = std::chrono::milliseconds::max();
    result.connections_per_host_max = upstream_connections_max;
    result.redirects_max = 0;  // they are for the client
    result.user_agent = "";    // the client's goes through
    return result;
  }

  [[noreturn]] static void fail(const std::string& upstream, const std::error_code& ec) {
    const int status = ec == std::errc::timed_out ? 504 : 502;
    throw net::http_error(status, "no answer from " + upstream + ": " + ec.message());
  }

  /// Passes on all that comes, and then the end of both sides.
  static void pump(net::stream& from, net::stream& to) {
    std::vector<char> part(part_bytes);
    std::error_code ec;
    while (const std::size_t count = from.read_some(part, ec)) {
      to.write_all({part.data(), count}, ec);
      if (ec) break;
    }
    for (net::stream* each : {&from, &to}) each->shutdown(net::direction::both, ec);
  }

  /// Until one side has ended the protocol that they have changed to.
  static void tunnel(net::stream& client, net::stream& server) {
    coir::scope both;
    both.spawn([&] { pump(server, client); });
    pump(client, server);
  }

  static net::http_call call_for(const net::http_request& asked) {
    net::http_call call{std::string(asked.method()), {}, end_to_end(asked.headers())};
    append(call.headers, "X-Forwarded-For", asked.peer().host());
    call.headers.set("X-Forwarded-Proto", "http");
    append(call.headers, "Via", name_in_via);
    copy_upgrade(asked.headers(), call.headers);
    return call;
  }

  static std::string target_of(const net::http_request& asked) {
    if (asked.target().starts_with('/')) return std::string(asked.target());
    if (asked.target() == "*") throw net::http_error(501, "no server of several is asked for *");
    return net::url::parse(asked.target()).target();
  }

  /// Asks one upstream after the other until one can be reached, which is `upstream` then.
  net::http_exchange ask(net::http_request& asked, coir::scope& watch, std::string& upstream) {
    net::http_call call = call_for(asked);
    const std::string target = target_of(asked);
    std::error_code ec;
    for (std::size_t i = 0; i < how_.upstreams.size(); ++i) {
      upstream = how_.upstreams[next_++ % how_.upstreams.size()];
      call.url = "http://" + upstream + target;
      if (asked.has_body()) {
        net::http_upload body = client_.upload(call, ec);
        if (!ec) return send_body(asked, std::move(body), watch, upstream);
      } else {
        if (watch.empty()) watch.spawn([this, at = *connection_] { expect_to_stay(at); });
        net::http_exchange got = client_.open(call, ec);
        if (!ec) return got;
        if (!is_idempotent(call.method) && ec != std::errc::connection_refused) break;
      }
      if (ec == std::errc::timed_out) break;  // the client has waited long enough
    }
    fail(upstream, ec);
  }

  net::http_exchange send_body(net::http_request& asked, net::http_upload body, coir::scope& watch,
                               const std::string& upstream) {
    std::error_code ec;
    std::vector<char> part(part_bytes);
    while (const std::size_t count = asked.read_some(part)) {
      if (!body.write({part.data(), count}, ec)) break;  // it has answered already, or failed
    }
    if (ec) fail(upstream, ec);
    watch.spawn([this, at = *connection_] { expect_to_stay(at); });
    net::http_exchange got = body.finish(ec);
    if (ec) fail(upstream, ec);
    return got;
  }

  static bool is_idempotent(std::string_view method) {
    return method != "POST" && method != "PATCH";
  }

  /// Waits until the client leaves, and fails then; ends when it has sent a next request.
  static void expect_to_stay(net::stream* client) {
    if (!client) return;
    client->reads_expire_never();
    std::error_code ec;
    if (!client->wait_readable(ec)) throw net::http_error(499, "the client has left");
  }

  const options& how_;
  net::http_client client_;
  std::size_t next_ = 0;
  coir::fiber_local<net::stream*> connection_;
};

int run(const options& how) {
  coir::set_error_handler([](const auto&) {});  // of watches: the log tells who has left
  reverse_proxy proxy(how);
  net::http_server::options serving;
  serving.http.body_bytes_max = std::numeric_limits<std::uint64_t>::max();
  serving.connections.wrap = [&](auto accepted) { return proxy.remember(std::move(accepted)); };
  if (!how.is_quiet) serving.http.access_log = example::print_line;
  net::http_server server(
      example::ip_address(how.address, how.port),
      [&](net::http_request& asked, net::http_response& answer) { proxy.pass_on(asked, answer); },
      std::move(serving));
  server.start();
  example::stop_signal on_signal([&] { server.stop(grace); });
  example::say_where(server.local_address());
  server.serve_forever();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return example::run_main("reverse_proxy", usage, [&] { return run(parse(argc, argv)); });
}
