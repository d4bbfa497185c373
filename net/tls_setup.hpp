/// What is inside a tls_context.
#pragma once

#include "net/openssl.hpp"
#include "net/tls_session_cache.hpp"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

namespace coir::net::detail {

struct tls_setup;
using setup_handle = std::shared_ptr<const tls_setup>;

/// Who hears of what OpenSSL meets in a connection; the SSL's app data points to it. Called in the
/// middle of a step: must neither park nor throw.
class tls_observer {
 public:
  /// A client's first message is there: an SSL_CLIENT_HELLO_ value, and the alert for an error.
  virtual int note_client_hello(int& alert) noexcept = 0;
  /// The server has sent a session. True: it is ours now.
  virtual bool note_session(SSL_SESSION* session) noexcept = 0;

  /// The observer of a connection.
  static tls_observer& of(const SSL* ssl) noexcept {
    return *static_cast<tls_observer*>(SSL_get_app_data(ssl));
  }

 protected:
  ~tls_observer() = default;
};

/// Constant once made, the cache aside, which guards itself.
struct tls_setup {
  ssl_ctx_ptr context;
  bool is_server = false;
  bool verifies = false;        ///< an unverified peer is an error
  bool keeps_sessions = false;  ///< a client's, in `sessions`
  std::string alpn;             ///< our protocols as they go over the wire
  std::map<std::string, setup_handle> hosts;
  std::function<setup_handle(std::string_view)> choose_host;  ///< empty when there is none
  bool refuses_unknown_hosts = false;
  mutable tls_session_cache sessions;
};

}  // namespace coir::net::detail
