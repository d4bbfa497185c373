#include "net/tls_session_cache.hpp"

#include <algorithm>
#include <ctime>
#include <mutex>

namespace coir::net::detail {
namespace {

/// True for one that is too old, or whose connection failed, after which OpenSSL does not offer it.
bool is_useless(const SSL_SESSION* session) noexcept {
  if (!SSL_SESSION_is_resumable(session)) return true;
  return SSL_SESSION_get_time(session) + SSL_SESSION_get_timeout(session) <= std::time(nullptr);
}

bool is_for_one_use(const SSL_SESSION* session) noexcept {
  return SSL_SESSION_get_protocol_version(session) >= TLS1_3_VERSION;
}

}  // namespace

void tls_session_cache::put(const std::string& host, session_handle session) {
  std::lock_guard guard(lock_);
  host_sessions& kept = hosts_[host];
  kept.last_used = ++uses_;
  kept.newest_first.push_front(std::move(session));
  if (kept.newest_first.size() > per_host_max) kept.newest_first.pop_back();
  if (hosts_.size() <= hosts_max) return;
  hosts_.erase(std::min_element(hosts_.begin(), hosts_.end(), [](const auto& a, const auto& b) {
    return a.second.last_used < b.second.last_used;
  }));
}

session_handle tls_session_cache::take(const std::string& host) {
  std::lock_guard guard(lock_);
  const auto place = hosts_.find(host);
  if (place == hosts_.end()) return nullptr;
  host_sessions& kept = place->second;
  kept.last_used = ++uses_;
  std::erase_if(kept.newest_first,
                [](const session_handle& each) { return is_useless(each->session.get()); });
  if (kept.newest_first.empty()) return nullptr;
  session_handle newest = kept.newest_first.front();
  if (is_for_one_use(newest->session.get())) kept.newest_first.pop_front();
  return newest;
}

}  // namespace coir::net::detail
