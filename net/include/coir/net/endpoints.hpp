/// Where a server accepts connections.
#pragma once

#include <coir/net/address.hpp>
#include <coir/net/tcp_listener.hpp>
#include <coir/net/unix_listener.hpp>

#include <initializer_list>
#include <utility>
#include <variant>
#include <vector>

namespace coir::net {

/// A listening socket of either kind, for instance an inherited one.
using any_listener = std::variant<tcp_listener, unix_listener>;

/// Addresses on which a server is to listen, and sockets that listen already. A parameter type:
/// pass an address, several in braces, a listener, or a vector of either. Movable; never parks.
/// Throws std::bad_alloc.
class endpoints {
 public:
  /// None yet: see add().
  endpoints() = default;
  /// One address, TCP or unix; the server makes the listener when it is started.
  endpoints(const address& local) : addresses_{local} {}
  /// Several addresses.
  endpoints(std::initializer_list<address> locals) : addresses_(locals) {}
  endpoints(std::vector<address> locals) : addresses_(std::move(locals)) {}
  /// A listener that is ready. The server owns it from now on.
  endpoints(tcp_listener ready) { add(std::move(ready)); }
  endpoints(unix_listener ready) { add(std::move(ready)); }
  endpoints(any_listener ready) { add(std::move(ready)); }
  /// Several ready listeners.
  endpoints(std::vector<any_listener> ready) : ready_(std::move(ready)) {}

  /// Adds one more address.
  void add(const address& local) { addresses_.push_back(local); }
  /// Adds one more ready listener.
  void add(tcp_listener ready) { ready_.emplace_back(std::move(ready)); }
  void add(unix_listener ready) { ready_.emplace_back(std::move(ready)); }
  void add(any_listener ready) { ready_.push_back(std::move(ready)); }

  /// The addresses that are still to be listened on.
  const std::vector<address>& addresses() const noexcept { return addresses_; }
  /// The listeners that were given.
  const std::vector<any_listener>& listeners() const noexcept { return ready_; }
  /// Gives the listeners away.
  std::vector<any_listener> take_listeners() noexcept { return std::exchange(ready_, {}); }
  /// True when there is nothing to listen on.
  bool empty() const noexcept { return addresses_.empty() && ready_.empty(); }

 private:
  std::vector<address> addresses_;
  std::vector<any_listener> ready_;
};

}  // namespace coir::net
