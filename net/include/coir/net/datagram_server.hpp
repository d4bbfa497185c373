/// A server whose datagrams are handled by fibers: gevent.server.DatagramServer.
#pragma once

#include <coir/export.hpp>
#include <coir/net/datagram_socket.hpp>
#include <coir/net/server_counters.hpp>
#include <coir/net/udp_socket.hpp>
#include <coir/net/unix_datagram.hpp>
#include <coir/pool.hpp>

#include <concepts>
#include <cstddef>
#include <functional>
#include <memory>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace coir::net {

/// A socket for datagrams of either kind.
using any_datagram_socket = std::variant<udp_socket, unix_datagram>;

/// A datagram that a server has received, and the way back to its sender. Lives until the handler
/// returns; for fibers of the handler's worker.
class datagram {
 public:
  /// Used by datagram_server.
  datagram(std::string_view bytes, std::size_t full_size, const address& peer,
           datagram_socket& socket) noexcept
      : bytes_(bytes), full_size_(full_size), peer_(peer), socket_(socket) {}

  /// What was received; views memory of the server.
  std::string_view bytes() const noexcept { return bytes_; }
  /// How many bytes the datagram had.
  std::size_t full_size() const noexcept { return full_size_; }
  /// True when it had more than options::size_max: the rest is lost.
  bool is_truncated() const noexcept { return full_size_ > bytes_.size(); }
  /// Who sent it. A unix sender without an address cannot be answered.
  const address& peer() const noexcept { return peer_; }
  /// The server's socket, to send to anybody.
  datagram_socket& socket() const noexcept { return socket_; }
  /// Sends one datagram to the peer, as datagram_socket::send_to does.
  std::size_t reply(const_buffer answer) const { return socket_.send_to(answer, peer_); }
  std::size_t reply(const_buffer answer, std::error_code& ec) const {
    return socket_.send_to(answer, peer_, ec);
  }

 private:
  std::string_view bytes_;
  std::size_t full_size_;
  const address& peer_;
  datagram_socket& socket_;
};

/// Receives datagrams and calls a handler for each, in a fiber of its own unless options say
/// otherwise. What stream_server says of workers, shortages, threads and forks holds here, too.
///
///     net::datagram_server server(net::address::ipv4_any(7000), [](const net::datagram& got) {
///       got.reply(got.bytes());
///     });
///     server.serve_forever();
class COIR_API datagram_server {
 public:
  /// Called for each datagram.
  using handler = std::function<void(const datagram& got)>;

  /// How to serve.
  struct options {
    /// How many datagrams are handled at a time, by all workers together. Further ones wait in the
    /// socket's buffer; when that is full UDP loses them, and unix senders wait. Not with in_turn.
    std::size_t max_in_flight = pool::unbounded;
    /// The handler is called by the fiber that receives, for one datagram after another: the
    /// cheapest way, and in order, for handlers that do not wait: stop() and the destructor wait
    /// for one that runs, and do not kill it.
    bool in_turn = false;
    /// The most bytes that are taken of a datagram; what is longer is cut off, counted, and seen by
    /// datagram::is_truncated.
    std::size_t size_max = 65535;
    /// Other sockets may be bound to the same port: see udp_socket::options. A server on several
    /// workers sets it by itself; the kernel then deals the senders out.
    bool reuse_port = false;
    /// [::] does not take IPv4 datagrams as well.
    bool v6_only = false;
    /// The set of workers to serve on; it must outlive the server. Null: the worker of start().
    workers* on = nullptr;
    /// As stream_server::options::on_error.
    server_error_handler on_error{};
    /// Stack of the fibers of handlers, as in attributes.
    std::size_t stack_bytes = 0;
  };

  /// Will receive at these addresses, UDP or unix, and call `handle(datagram)`, by several fibers
  /// at a time unless options::in_turn, and several workers with options::on. Throws
  /// std::invalid_argument without an address, and for a max_in_flight or size_max of 0;
  /// std::bad_alloc. Never parks.
  template <std::invocable<const datagram&> Handler>
  datagram_server(std::vector<address> where, Handler&& handle, options how)
      : datagram_server(std::move(where), {}, shared(std::forward<Handler>(handle)),
                        std::move(how)) {}
  /// The same with all options as they are.
  template <std::invocable<const datagram&> Handler>
  datagram_server(std::vector<address> where, Handler&& handle)
      : datagram_server(std::move(where), std::forward<Handler>(handle), options()) {}
  /// For one address.
  template <std::invocable<const datagram&> Handler>
  datagram_server(const address& where, Handler&& handle, options how)
      : datagram_server(std::vector<address>{where}, std::forward<Handler>(handle),
                        std::move(how)) {}
  template <std::invocable<const datagram&> Handler>
  datagram_server(const address& where, Handler&& handle)
      : datagram_server(where, std::forward<Handler>(handle), options()) {}
  /// For a socket that is bound already, and is the server's from now on.
  template <std::invocable<const datagram&> Handler>
  datagram_server(any_datagram_socket ready, Handler&& handle, options how)
      : datagram_server({}, one(std::move(ready)), shared(std::forward<Handler>(handle)),
                        std::move(how)) {}
  template <std::invocable<const datagram&> Handler>
  datagram_server(any_datagram_socket ready, Handler&& handle)
      : datagram_server(std::move(ready), std::forward<Handler>(handle), options()) {}
  datagram_server(const datagram_server&) = delete;
  datagram_server& operator=(const datagram_server&) = delete;
  /// As ~stream_server.
  ~datagram_server();

  /// Binds, and begins to receive; otherwise as stream_server::start.
  void start();
  /// Its twin.
  void start(std::error_code& ec);
  /// As stream_server::serve_forever.
  void serve_forever();
  /// Receives no more, and otherwise does what stream_server::stop does: handlers can still answer
  /// meanwhile. The sockets are closed, and unix paths that the server made removed, when the last
  /// handler has ended.
  std::size_t stop(time_limit grace = std::chrono::seconds(0));

  /// As stream_server::is_running.
  bool is_running() const noexcept;
  /// As stream_server::local_addresses.
  std::vector<address> local_addresses() const;
  /// The first of them; std::logic_error when there is none.
  address local_address() const;
  /// What has happened so far. Never parks.
  server_counters counters() const noexcept;

 private:
  class core;

  datagram_server(std::vector<address> where, std::vector<any_datagram_socket> ready,
                  handler handle, options how);
  static std::vector<any_datagram_socket> one(any_datagram_socket ready) {
    std::vector<any_datagram_socket> result;
    result.push_back(std::move(ready));
    return result;
  }
  template <class Handler>
  static handler shared(Handler&& handle) {
    auto owner = std::make_shared<std::decay_t<Handler>>(std::forward<Handler>(handle));
    return [owner](const datagram& got) { (*owner)(got); };
  }

  std::unique_ptr<core> core_;
};

}  // namespace coir::net
