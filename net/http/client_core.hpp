/// What an HTTP client and the requests that are under way share.
#pragma once

#include "net/http/answer_reader.hpp"
#include "net/http/connection_pool.hpp"

#include <coir/net/http_client.hpp>

#include <memory>
#include <string>

namespace coir::net::http {

class exchange;
struct plan;

class client_core : public std::enable_shared_from_this<client_core> {
 public:
  explicit client_core(http_client::options how);

  /// Asks until there is an answer that is not a redirect to be followed; its head has come.
  std::unique_ptr<exchange> open(const http_call& call);
  /// Sends a head whose body follows.
  std::unique_ptr<exchange> upload(const http_call& call);

  const http_client::options& options() const noexcept { return options_; }
  const answer_reader::limits& head_limits() const noexcept { return head_limits_; }
  connection_pool& pool() noexcept { return *pool_; }

 private:
  void expect_own_worker();
  plan plan_of(const http_call& call) const;
  std::unique_ptr<exchange> ask(const plan& what);
  std::unique_ptr<exchange> start(const plan& what, bool on_new_connection);
  connection_pool::lease connect(const plan& what, bool on_new_connection);

  const http_client::options options_;
  const answer_reader::limits head_limits_;
  const std::shared_ptr<connection_pool> pool_;
  const void* worker_ = nullptr;  ///< the one that all calls must come from; null before the first
};

}  // namespace coir::net::http
