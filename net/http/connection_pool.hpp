/// The connections of an HTTP client: how many there may be to each server, and which are kept.
///
/// Invariants:
///  1. A connection is idle or leased, never both; leased ones have a unit of their server's
///     semaphore, which counts connections_per_host_max. A new one is opened only by who has a unit
///     and finds no idle one, so that idle and leased ones together are never more than that.
///  2. Only give_back() makes a connection idle. A lease that ends in another way, by an exception
///     say, closes it.
#pragma once

#include "net/http/input.hpp"

#include <coir/net/stream.hpp>
#include <coir/net/url.hpp>
#include <coir/semaphore.hpp>

#include <chrono>
#include <cstddef>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <system_error>

namespace coir::net::http {

/// A connection, and what has been read from it and not yet been understood.
struct connection {
  explicit connection(std::unique_ptr<stream> s) noexcept : to(std::move(s)), in(*to) {}
  std::unique_ptr<stream> to;
  input in;
};

/// Belongs to one worker, as do the leases, which may outlive it.
class connection_pool : public std::enable_shared_from_this<connection_pool> {
  struct server {
    server(const std::string& o, std::size_t units)
        : origin(o), free(static_cast<std::ptrdiff_t>(units)) {}
    const std::string origin;
    counting_semaphore free;
  };

 public:
  /// Which connection a lease begins with.
  enum class wanted {
    any,         ///< an idle one, if there is one that still seems to live
    unused,      ///< none: one is to be opened, in the place of an idle one if it must be
    after_loss,  ///< none; idle ones of that server are closed: they are not trusted any more
  };

  struct limits {
    std::size_t per_server_max;
    std::size_t idle_max;
    std::chrono::nanoseconds idle_timeout;
  };

  /// The right to use a connection, and the connection once it is there.
  class lease {
   public:
    lease() noexcept = default;
    lease(lease&&) noexcept = default;
    lease& operator=(lease&& other) noexcept;
    ~lease() { drop(); }

    /// True while there is a connection.
    explicit operator bool() const noexcept { return connection_ != nullptr; }
    connection* operator->() const noexcept { return connection_.get(); }
    /// True when the connection has carried a request before.
    bool is_reused() const noexcept { return is_reused_; }
    /// Gives a lease without a connection the one that was opened for it.
    void hold(std::unique_ptr<stream> opened);
    /// Ends the lease; the connection is idle now.
    void give_back() noexcept;
    /// Ends the lease, and the connection.
    void drop() noexcept;

   private:
    friend class connection_pool;
    std::shared_ptr<connection_pool> pool_;
    std::shared_ptr<server> server_;
    std::unique_ptr<connection> connection_;
    bool is_reused_ = false;
  };

  explicit connection_pool(const limits& bounds) noexcept : limits_(bounds) {}

  /// A lease for that server. Parks while too many are leased, until `until`; then `ec` is
  /// timed_out.
  lease take(const std::string& origin, wanted which, coir::detail::deadline until,
             std::error_code& ec);

  void close_idle() noexcept;
  std::size_t idle_count() const noexcept { return idle_.size(); }

 private:
  struct idle_connection {
    std::shared_ptr<server> of;
    std::unique_ptr<connection> kept;
    coir::detail::deadline until;
  };

  std::shared_ptr<server> server_of(const std::string& origin);
  std::unique_ptr<connection> take_idle(const server& of);
  void make_room(server& at) noexcept;
  void keep(const std::shared_ptr<server>& of, std::unique_ptr<connection> c) noexcept;
  void close_old() noexcept;
  void close_front() noexcept;
  void forget(std::shared_ptr<server> s) noexcept;

  const limits limits_;
  std::map<std::string, std::weak_ptr<server>> servers_;
  std::list<idle_connection> idle_;  ///< oldest first
};

}  // namespace coir::net::http
