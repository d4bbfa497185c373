/// What connections have in common that a server serves, whichever version of HTTP they speak.
#pragma once

#include <coir/net/http_options.hpp>

#include <atomic>
#include <cstddef>

namespace coir::net {
class stream;
}

namespace coir::net::http {

/// What a connection is served with, all of which outlives it.
struct service {
  const http_handler& handler;
  const http_options& options;
  const std::atomic<bool>& is_stopping;  ///< a next request is not to be waited for
  std::size_t stack_bytes = 0;           ///< of fibers that call the handler
};

class served_connection {
 public:
  served_connection(const served_connection&) = delete;
  served_connection& operator=(const served_connection&) = delete;

  /// Ends the wait for a next request, if there is one; to be called when `is_stopping` is set. Any
  /// thread, while the connection is served.
  virtual void end_if_idle() noexcept = 0;

 protected:
  explicit served_connection(stream& client) noexcept : client_(client) {}
  virtual ~served_connection() = default;

  /// Lets the client read what has been sent before the connection ends: closing a socket that
  /// still has something to read resets the connection, and the end of an answer may be lost by
  /// that.
  void linger();

  stream& client_;
};

}  // namespace coir::net::http
