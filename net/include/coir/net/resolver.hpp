/// From names to addresses.
#pragma once

#include <coir/net/address.hpp>
#include <coir/net/error.hpp>
#include <coir/net/expiry.hpp>

#include <concepts>
#include <string>
#include <string_view>
#include <vector>

namespace coir::net {

/// A port number, or the name of a service ("https"). A parameter type: pass `80` or `"https"`.
class service {
 public:
  /// A port. One that is no number from 0 to 65535 is an error of the call that gets it.
  template <std::integral Port>
  service(Port port) : text_(std::to_string(port)) {}
  /// A name that /etc/services knows, or a number in decimal form.
  service(std::string_view name) : text_(name) {}
  service(const char* name) : text_(name) {}
  service(const std::string& name) : text_(name) {}

  /// The name, or the number in decimal form.
  const std::string& text() const noexcept { return text_; }

 private:
  std::string text_;
};

/// The addresses of `host`, in the order in which they should be tried; never empty. A literal
/// ("127.0.0.1", "::1", "[::1]") with a port number is answered at once; an empty host means this
/// machine (loopback). For anything else the fiber parks, and this machine's files and name servers
/// are asked: by getaddrinfo(3) on one of a few threads kept for that (COIR_RESOLVER_THREADS), or,
/// with COIR_RESOLVER=ares, by c-ares on the fiber itself, which then also takes name servers from
/// COIR_NAME_SERVERS. Fibers that ask the same at the same time share one look-up; one that gives
/// up leaves it to the others. Nothing is kept for later calls. metrics() counts look-ups.
///
/// Errors: codes of resolve_category; std::errc::timed_out when `limit` passed;
/// std::errc::invalid_argument, with a line on stderr, when one of these settings is none. Throws
/// fiber_exit when the fiber is killed meanwhile. Any thread, which becomes a worker.
COIR_API std::vector<address> resolve(std::string_view host, const service& port,
                                      time_limit limit = {});
/// Its twin; empty when `ec` is set.
COIR_API std::vector<address> resolve(std::string_view host, const service& port, time_limit limit,
                                      std::error_code& ec);
/// The same without a limit.
COIR_API std::vector<address> resolve(std::string_view host, const service& port,
                                      std::error_code& ec);

}  // namespace coir::net
