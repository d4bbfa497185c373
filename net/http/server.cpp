#include "net/http/http2_connection.hpp"
#include "net/http/server_connection.hpp"

#include <coir/net/http_server.hpp>
#include <coir/net/tls_stream.hpp>

#include <atomic>
#include <list>
#include <mutex>
#include <stdexcept>
#include <utility>

namespace coir::net {
namespace {

using http::http2_connection;
using http::served_connection;
using http::server_connection;
using http::service;

/// The connections of a server that are being served.
class open_connections {
 public:
  using place = std::list<served_connection*>::iterator;

  place add(served_connection& c) {
    const std::lock_guard hold(lock_);
    return all_.insert(all_.end(), &c);
  }
  void remove(place at) noexcept {
    const std::lock_guard hold(lock_);
    all_.erase(at);
  }
  void end_idle() noexcept {
    const std::lock_guard hold(lock_);
    for (served_connection* each : all_) each->end_if_idle();
  }

 private:
  std::mutex lock_;  // of several workers; nobody parks while it is held
  std::list<served_connection*> all_;
};

/// A connection is in the list for as long as this lives.
class listed {
 public:
  listed(open_connections& among, served_connection& c) : among_(among), place_(among.add(c)) {}
  listed(const listed&) = delete;
  listed& operator=(const listed&) = delete;
  ~listed() { among_.remove(place_); }

 private:
  open_connections& among_;
  open_connections::place place_;
};

bool has_agreed_on_http2(const stream& client) {
  const auto* const tls = dynamic_cast<const tls_stream*>(&client);
  return tls && tls->alpn() == "h2";
}

/// Serves one connection by the version that it speaks.
void serve(stream& client, const address& peer, const service& with, open_connections& among) {
  server_connection first(client, peer, with);
  {
    const listed in(among, first);
    const bool is_http2 = with.options.http2 && has_agreed_on_http2(client) ? true : first.serve();
    if (!is_http2) return;
  }
  http2_connection second(client, peer, with);
  const listed in(among, second);
  second.serve(first.received().unread());
}

void check(const http_handler& handler, const http_options& how) {
  if (!handler) throw std::invalid_argument("the handler of an HTTP server must not be empty");
  constexpr std::size_t shortest_head = sizeof "GET / HTTP/1.0\r\n\r\n";
  constexpr std::size_t longest_head = 1 << 30;
  if (how.header_bytes_max < shortest_head || how.header_bytes_max > longest_head ||
      how.target_bytes_max == 0 || how.header_fields_max == 0) {
    throw std::invalid_argument("the limits of an HTTP server's heads let no request pass, or any");
  }
  if (how.http2_streams_max == 0 || how.http2_streams_max > 10'000) {
    throw std::invalid_argument("http2_streams_max of an HTTP server must be from 1 to 10000");
  }
}

}  // namespace

class http_server::core {
 public:
  core(endpoints where, http_handler handler, options how)
      : handler_(std::move(handler)),
        how_(std::move(how.http)),
        stack_bytes_(how.connections.stack_bytes),
        server_(
            std::move(where), [this](stream& client, const address& peer) { serve(client, peer); },
            std::move(how.connections)) {}

  stream_server& server() noexcept { return server_; }

  std::size_t stop(time_limit grace) {
    is_stopping_ = true;
    connections_.end_idle();
    return server_.stop(grace);
  }

 private:
  void serve(stream& client, const address& peer) {
    net::serve(client, peer, {handler_, how_, is_stopping_, stack_bytes_}, connections_);
  }

  http_handler handler_;
  http_options how_;
  const std::size_t stack_bytes_;
  std::atomic<bool> is_stopping_{false};
  open_connections connections_;
  stream_server server_;  // last: its end waits for those who use the others
};

http_server::http_server(endpoints where, http_handler handler, options how) {
  check(handler, how.http);
  core_ = std::make_unique<core>(std::move(where), std::move(handler), std::move(how));
}

http_server::~http_server() = default;

void http_server::start() { core_->server().start(); }

void http_server::start(std::error_code& ec) { core_->server().start(ec); }

void http_server::serve_forever() { core_->server().serve_forever(); }

std::size_t http_server::stop(time_limit grace) { return core_->stop(grace); }

bool http_server::is_running() const noexcept { return core_->server().is_running(); }

std::vector<address> http_server::local_addresses() const {
  return core_->server().local_addresses();
}

address http_server::local_address() const { return core_->server().local_address(); }

server_counters http_server::counters() const noexcept { return core_->server().counters(); }

void serve_http(stream& connection, const address& peer, const http_handler& handler,
                const http_options& how) {
  check(handler, how);
  const std::atomic<bool> never_stops{false};
  open_connections alone;
  serve(connection, peer, {handler, how, never_stops}, alone);
}

}  // namespace coir::net
