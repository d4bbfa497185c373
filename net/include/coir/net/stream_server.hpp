/// A server whose connections are served by fibers: gevent.server.StreamServer.
#pragma once

#include <coir/export.hpp>
#include <coir/net/endpoints.hpp>
#include <coir/net/server_counters.hpp>
#include <coir/net/stream.hpp>
#include <coir/pool.hpp>

#include <concepts>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

namespace coir::net {

/// Accepts connections and calls a handler for each, in a fiber of its own. When the handler
/// returns the connection is closed.
///
///     net::stream_server server(net::address::ipv4_any(7000), [](net::stream& client) {
///       char buffer[4096];
///       while (const std::size_t n = client.read_some(buffer)) client.write_all({buffer, n});
///     });
///     server.serve_forever();
///
/// Without options::on all runs on the worker of the thread that calls start(), which must go on
/// running fibers until the server has stopped. With it each worker of the set has a listening
/// socket and accepts for itself, and a connection stays on the worker that accepted it; handlers
/// then run at the same time.
///
/// Accepting outlives what goes wrong: while the process is short of descriptors or memory the
/// server says so once, waits, and tries again when a connection has ended, or after a pause of at
/// most a second.
///
/// Unless a member says otherwise, any fiber or thread may call it, handlers among them. In the
/// child of a fork a server has neither fibers nor connections, and stop() only closes its
/// listeners there.
class COIR_API stream_server {
 public:
  /// What a handler gets: the connection, and the address of its peer. Both live until the handler
  /// returns.
  using handler = std::function<void(stream& connection, const address& peer)>;
  /// Makes the stream that the handler gets of the socket that was accepted: TLS, say. Null refuses
  /// the connection.
  using wrapper = std::function<std::unique_ptr<stream>(std::unique_ptr<stream> accepted)>;

  /// How to serve.
  struct options {
    /// See listener::default_backlog. Not with ready listeners, which have theirs.
    std::optional<int> backlog{};
    /// How many connections are served at a time, by all workers together. Further ones wait in the
    /// backlog, unanswered, until one has ended.
    std::size_t max_connections = pool::unbounded;
    /// Other sockets may listen on the same port: see tcp_listener::options. A server on several
    /// workers sets it by itself.
    bool reuse_port = false;
    /// [::] does not take IPv4 connections as well.
    bool v6_only = false;
    /// The set of workers to serve on; it must outlive the server. Null: the worker of start().
    workers* on = nullptr;
    /// Called in the connection's fiber, before the handler; may park. Empty: the socket itself.
    wrapper wrap{};
    /// Called when the handler, or `wrap`, has thrown anything but a kill, once the connection is
    /// closed. Empty: a line on stderr says what it was and whom it served. The server goes on.
    server_error_handler on_error{};
    /// Stack of the fibers of connections, as in attributes.
    std::size_t stack_bytes = 0;
  };

  /// Will listen on `where` and call `serve(connection)` or `serve(connection, peer)`, by several
  /// fibers at a time, and several workers with options::on. Throws std::invalid_argument when
  /// there is nothing to listen on, for a max_connections of 0, and for a backlog with ready
  /// listeners; std::bad_alloc. Never parks.
  template <class Handler>
    requires std::invocable < std::decay_t<Handler>
  &, stream&,
      const address& > ||
          std::invocable<std::decay_t<Handler>&, stream&> stream_server(endpoints where,
                                                                        Handler&& serve,
                                                                        options how)
      : stream_server(std::in_place, std::move(where), make_handler(std::forward<Handler>(serve)),
                      std::move(how)) {}
  /// The same with all options as they are.
  template <class Handler>
    requires std::invocable < std::decay_t<Handler>
  &, stream&,
      const address& > ||
          std::invocable<std::decay_t<Handler>&, stream&> stream_server(endpoints where,
                                                                        Handler&& serve)
      : stream_server(std::move(where), std::forward<Handler>(serve), options()) {}
  stream_server(const stream_server&) = delete;
  stream_server& operator=(const stream_server&) = delete;
  /// stop() without grace, but waits for handlers however long they take to end; a kill of the
  /// waiting fiber is kept until then. In a handler of its own it does not wait for that one.
  ~stream_server();

  /// Listens, and begins to accept. Once: a server that was started, or stopped, throws
  /// std::logic_error. Throws std::system_error, which names the address, when one cannot be
  /// listened on; then it listens on none and may be started again, unless ready listeners were
  /// given. Never parks but for a start or stop by somebody else.
  void start();
  /// Its twin.
  void start(std::error_code& ec);
  /// Starts the server unless that was done, and parks until stop() has been called and is done;
  /// for at most a second more for the handler that called it. Throws what start() throws, and
  /// std::system_error when a listener fails for good. Stops the server, without grace, when the
  /// caller is killed meanwhile, and throws fiber_exit. Not from a handler of its own.
  void serve_forever();

  /// Closes the listeners at once, so that further connections are refused and a unix path made by
  /// the server is gone; connections nobody has accepted yet are reset. Then parks until the
  /// handlers have ended, but for no longer than `grace`; kills those that have not, and parks
  /// until they have ended, for at most a second. Returns how many it killed. A handler that calls
  /// it is not waited for and not killed. May be called again, also while it runs, to be less
  /// patient: what is closed and ended stays so. Throws fiber_exit when the caller is killed
  /// meanwhile.
  std::size_t stop(time_limit grace = std::chrono::seconds(0));

  /// True from start() until stop() begins, or a listener has failed for good. Never parks.
  bool is_running() const noexcept;
  /// The addresses it listens on, or did, those given first, with the port that the kernel chose
  /// for port 0; empty before start(). Throws std::bad_alloc. Never parks but for start().
  std::vector<address> local_addresses() const;
  /// The first of them; std::logic_error when there is none.
  address local_address() const;
  /// What has happened so far. Never parks.
  server_counters counters() const noexcept;

 private:
  class core;

  stream_server(std::in_place_t, endpoints where, handler serve, options how);

  template <class Handler>
  static handler make_handler(Handler&& serve) {
    // std::function wants a copy; the handler may be one that can only be moved.
    auto shared = std::make_shared<std::decay_t<Handler>>(std::forward<Handler>(serve));
    return [shared]([[maybe_unused]] stream& connection, [[maybe_unused]] const address& peer) {
      if constexpr (std::invocable<std::decay_t<Handler>&, stream&, const address&>) {
        (*shared)(connection, peer);
      } else {
        (*shared)(connection);
      }
    };
  }

  std::unique_ptr<core> core_;
};

}  // namespace coir::net
