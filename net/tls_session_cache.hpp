/// The sessions that a client's context keeps, to resume them.
#pragma once

#include <coir/detail/short_lock.hpp>

#include "net/openssl.hpp"

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <string>

namespace coir::net::detail {

/// A session of OpenSSL's with what must hold for taking it up again.
struct tls_session_state {
  session_ptr session;
  std::string server_name;
  bool is_verified = false;
};

using session_handle = std::shared_ptr<const tls_session_state>;

/// Sessions by host and port, the newest first. A ticket of TLS 1.3 is given out once, so that
/// nobody can tell by it that two connections come from one client; a session of TLS 1.2 stays.
/// Any thread; nothing parks.
class tls_session_cache {
 public:
  /// Keeps `session`; forgets the oldest of its host, or the host that was used least recently,
  /// when there are too many.
  void put(const std::string& host, session_handle session);
  /// The newest one of that host that may still be resumed; null when there is none.
  session_handle take(const std::string& host);

 private:
  static constexpr std::size_t hosts_max = 256;
  static constexpr std::size_t per_host_max = 4;  // servers hand out two tickets a connection

  struct host_sessions {
    std::list<session_handle> newest_first;
    std::uint64_t last_used = 0;
  };

  coir::detail::short_lock lock_;
  std::map<std::string, host_sessions> hosts_;  ///< guarded by lock_
  std::uint64_t uses_ = 0;                      ///< guarded by lock_
};

}  // namespace coir::net::detail
