/// An HTTP server: gevent.pywsgi.WSGIServer.
#pragma once

#include <coir/export.hpp>
#include <coir/net/http_options.hpp>
#include <coir/net/stream_server.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <system_error>
#include <vector>

namespace coir::net {

/// Serves HTTP/1.1 and 1.0, and HTTP/2 with http_options::http2: a stream_server, which see for
/// addresses, workers, limits of connections, TLS (options::connections.wrap) and threads, whose
/// handler speaks HTTP. Each connection has a fiber, which serves its requests one after another:
/// kept alive and pipelined ones, bodies of a length or in chunks, and 100-continue.
///
///     net::http_server server(
///         net::address::ipv4_any(8000), [](net::http_request& asked, net::http_response& answer) {
///           answer.send("text/plain", "hello " + std::string(asked.path()));
///         });
///     server.serve_forever();
///
/// What cannot be understood, is too long or comes too slowly is answered with the status that says
/// so (400, 408, 413, 414, 417, 431, 501, 505), and ends the connection.
///
/// Over HTTP/2 each request has a fiber, and ends its own stream only. What is no HTTP/2 ends the
/// stream or the connection as RFC 9113 says; so do more resets, pings and the like than a client
/// needs. The handlers of streams are none that may stop or destroy their own server as
/// stream_server says: they spawn a fiber for that.
class COIR_API http_server {
 public:
  /// How to serve.
  struct options {
    http_options http{};                   ///< limits, time-outs, log
    stream_server::options connections{};  ///< how connections are accepted
  };

  /// Will listen on `where` and call `handler` for each request, by several fibers at a time, and
  /// several workers with connections.on. Throws std::invalid_argument when the handler is empty,
  /// when a limit is too small for any request, and as stream_server. Never parks.
  http_server(endpoints where, http_handler handler, options how);
  http_server(endpoints where, http_handler handler)
      : http_server(std::move(where), std::move(handler), options()) {}
  http_server(const http_server&) = delete;
  http_server& operator=(const http_server&) = delete;
  /// stop() without grace, and waits for handlers however long they take to end.
  ~http_server();

  /// As stream_server::start.
  void start();
  void start(std::error_code& ec);
  /// As stream_server::serve_forever.
  void serve_forever();
  /// As stream_server::stop; connections that wait for a next request end at once, and those that
  /// are being answered are told that it is the last answer, or (HTTP/2) which are the last.
  std::size_t stop(time_limit grace = std::chrono::seconds(0));

  /// As stream_server::is_running.
  bool is_running() const noexcept;
  /// As stream_server::local_addresses.
  std::vector<address> local_addresses() const;
  /// As stream_server::local_address.
  address local_address() const;
  /// As stream_server::counters: of connections, not of requests.
  server_counters counters() const noexcept;

 private:
  class core;
  std::unique_ptr<core> core_;
};

/// Serves the requests of one connection until it ends, for servers that accept by themselves. The
/// connection stays the caller's, who closes it. Parks. Throws fiber_exit when the fiber is killed.
COIR_API void serve_http(stream& connection, const address& peer, const http_handler& handler,
                         const http_options& how = {});

}  // namespace coir::net
