/// Accepting connections from processes of the same machine.
#pragma once

#include <coir/net/detail/bound_path.hpp>
#include <coir/net/listener.hpp>
#include <coir/net/unix_stream.hpp>

namespace coir::net {

/// A listening unix socket; listener describes closing, deadlines and threads.
class COIR_API unix_listener : public listener {
 public:
  /// How to listen.
  struct options {
    int backlog = default_backlog;  ///< see default_backlog
    /// close() and the destructor remove the path, but only when this process made it and it still
    /// is the very socket that this listener bound: a file that somebody has put there since is
    /// left alone. Without it the path stays, and the next listen() there fails with
    /// std::errc::address_in_use until somebody removes it.
    bool unlink_on_close = true;
  };

  /// Empty.
  unix_listener() noexcept = default;
  unix_listener(unix_listener&& other) noexcept;
  unix_listener& operator=(unix_listener&& other) noexcept;
  /// close() without its error.
  ~unix_listener();

  /// Listens on a path, or on an abstract name. A path that exists already is
  /// std::errc::address_in_use, also when nobody listens there any more. Never parks.
  static unix_listener listen(const address& local, const options& how);
  static unix_listener listen(const address& local) { return listen(local, options()); }
  /// Their twins; the listener is empty when `ec` is set.
  static unix_listener listen(const address& local, const options& how, std::error_code& ec);
  static unix_listener listen(const address& local, std::error_code& ec) {
    return listen(local, options(), ec);
  }

  /// As tcp_listener::accept.
  unix_stream accept();
  unix_stream accept(std::error_code& ec);
  /// The same, and tells the peer's address, which for most clients is unnamed.
  unix_stream accept(address& peer);
  unix_stream accept(address& peer, std::error_code& ec);

  /// As listener::close, and removes the path as options::unlink_on_close says.
  void close();
  void close(std::error_code& ec) noexcept;
  /// As listener::release; the path stays.
  int release() noexcept;

  /// Takes over a listening unix socket, for instance an inherited one; its path stays when it is
  /// closed. Makes it non-blocking, which everybody notices who shares its open file description.
  /// On an error the descriptor stays the caller's. Never parks.
  static unix_listener adopt(int fd);
  static unix_listener adopt(int fd, std::error_code& ec) noexcept;

 private:
  explicit unix_listener(int fd) noexcept : listener(fd) {}

  detail::bound_path path_;  ///< to be removed before the descriptor is closed
};

}  // namespace coir::net
