/// One listening socket of a server, and how it accepts.
#pragma once

#include <coir/net/endpoints.hpp>

#include <cstddef>
#include <memory>
#include <system_error>

namespace coir::net::detail {

/// A listener with the worker that it belongs to. Used by one fiber at a time.
class door {
 public:
  door(any_listener listener, std::size_t worker);

  /// Parks until a connection is there; null with `ec` set. Throws fiber_exit, std::bad_alloc: a
  /// connection that was there is closed then.
  std::unique_ptr<stream> accept(address& peer, std::error_code& ec);
  /// Closes the listener, which may have been done. Never parks.
  void close() noexcept;
  bool is_open() const noexcept;
  /// Another door to the same queue of connections, for another worker.
  door duplicate(std::size_t worker, std::error_code& ec) const;

  /// Where it listens, as of the beginning.
  const address& local() const noexcept { return local_; }
  /// The number of its worker in the set; 0 without a set.
  std::size_t worker() const noexcept { return worker_; }

 private:
  any_listener listener_;
  address local_;
  std::size_t worker_;
};

/// How to listen on an address.
struct door_options {
  int backlog;
  bool reuse_port;
  bool v6_only;
};

/// A listener for an address, TCP or unix. On an error `ec` is set.
any_listener listen_at(const address& local, const door_options& how, std::error_code& ec);

}  // namespace coir::net::detail
