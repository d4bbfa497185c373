/// System calls on sockets that never block, with error codes. Raw ones, as everywhere below the
/// hooks.
#pragma once

#include <coir/net/address.hpp>

#include <system_error>
#include <utility>

namespace coir::net::detail {

/// Owns a descriptor until it is handed on.
class descriptor {
 public:
  descriptor() noexcept = default;
  explicit descriptor(int fd) noexcept : fd_(fd) {}
  descriptor(descriptor&& other) noexcept : fd_(other.release()) {}
  descriptor& operator=(descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~descriptor();
  int get() const noexcept { return fd_; }
  int release() noexcept { return std::exchange(fd_, -1); }

 private:
  int fd_ = -1;
};

/// What setsockopt is to set.
struct option_name {
  int level;
  int name;
};

/// A new socket, non-blocking and closed on exec.
descriptor make_socket(int family, int type, std::error_code& ec) noexcept;
/// socketpair(2) of unix sockets, non-blocking and closed on exec.
std::pair<descriptor, descriptor> make_pair(int type, std::error_code& ec) noexcept;
void bind_to(int fd, const address& local, std::error_code& ec) noexcept;
void listen_on(int fd, int backlog, std::error_code& ec) noexcept;
void connect_now(int fd, const address& peer, std::error_code& ec) noexcept;
void shutdown_socket(int fd, int how, std::error_code& ec) noexcept;
void set_option(int fd, option_name option, int value, std::error_code& ec) noexcept;
void set_option(int fd, option_name option, const void* value, socklen_t size,
                std::error_code& ec) noexcept;
address local_name(int fd, std::error_code& ec) noexcept;
address peer_name(int fd, std::error_code& ec) noexcept;

/// Checks that `fd` is a socket of that type and of a family that `accepts_family` knows, then
/// makes it non-blocking.
void prepare_adoption(int fd, int type, bool (*accepts_family)(int family),
                      std::error_code& ec) noexcept;
/// True for AF_INET and AF_INET6.
bool is_ip_family(int family) noexcept;
/// True for AF_UNIX.
bool is_unix_family(int family) noexcept;

}  // namespace coir::net::detail
