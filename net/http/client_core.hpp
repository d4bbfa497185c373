/// An HTTP client within: from calls to answers, over redirects and connections that were dead.
#pragma once

#include "net/http/client_settings.hpp"
#include "net/http/connection_pool.hpp"
#include "net/http/exchange.hpp"
#include "net/http/plan.hpp"

#include <coir/net/http_client.hpp>

#include <memory>

namespace coir::net::http {

class client_core {
 public:
  explicit client_core(http_client::options how);

  /// Asks until there is an answer that is not a redirect to be followed; its head has come.
  std::unique_ptr<exchange> open(const http_call& call);
  /// Sends a head whose body follows.
  std::unique_ptr<exchange> upload(const http_call& call);

  connection_pool& pool() noexcept { return *pool_; }

 private:
  void expect_own_worker();
  plan plan_of(const http_call& call) const;
  std::unique_ptr<exchange> ask(const plan& what);
  std::unique_ptr<exchange> start(const plan& what, connection_pool::wanted on);
  connection_pool::lease connect(const plan& what, connection_pool::wanted which);
  std::unique_ptr<stream> open_connection(const url& where, time_limit limit,
                                          std::error_code& ec) const;

  const std::shared_ptr<const client_settings> settings_;
  const http_client::options& options_;  ///< of settings_
  const std::shared_ptr<connection_pool> pool_;
  const void* worker_ = nullptr;  ///< the one that all calls must come from; null before the first
};

}  // namespace coir::net::http
