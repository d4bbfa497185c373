#include "net/socket_calls.hpp"

#include "net/cooperative.hpp"
#include "runtime/kernel/calls.hpp"

#include <cerrno>

namespace coir::net::detail {
namespace {

constexpr int own_mode = SOCK_NONBLOCK | SOCK_CLOEXEC;

void check(long result, std::error_code& ec) noexcept {
  if (result < 0) {
    ec = code_of(result);
  } else {
    ec.clear();
  }
}

address name_by(long system_call, int fd, std::error_code& ec) noexcept {
  address name;
  socklen_t size = address::capacity();
  check(kernel::call(system_call, fd, name.data(), &size), ec);
  if (ec) return {};
  name.resize(size);
  return name;
}

int int_option(int fd, int name, std::error_code& ec) noexcept {
  int value = 0;
  socklen_t size = sizeof value;
  check(kernel::getsockopt(fd, SOL_SOCKET, name, &value, &size), ec);
  return value;
}

}  // namespace

descriptor::~descriptor() {
  if (fd_ >= 0) kernel::close(fd_);
}

descriptor make_socket(int family, int type, std::error_code& ec) noexcept {
  const long fd = kernel::call(SYS_socket, family, type | own_mode, 0);
  check(fd, ec);
  return descriptor(ec ? -1 : static_cast<int>(fd));
}

std::pair<descriptor, descriptor> make_pair(int type, std::error_code& ec) noexcept {
  int fds[2] = {-1, -1};
  check(kernel::call(SYS_socketpair, AF_UNIX, type | own_mode, 0, fds), ec);
  return {descriptor(fds[0]), descriptor(fds[1])};
}

void bind_to(int fd, const address& local, std::error_code& ec) noexcept {
  check(kernel::call(SYS_bind, fd, local.data(), local.size()), ec);
}

void listen_on(int fd, int backlog, std::error_code& ec) noexcept {
  check(kernel::call(SYS_listen, fd, backlog), ec);
}

void connect_now(int fd, const address& peer, std::error_code& ec) noexcept {
  check(kernel::connect(fd, peer.data(), peer.size()), ec);
}

void shutdown_socket(int fd, int how, std::error_code& ec) noexcept {
  check(kernel::call(SYS_shutdown, fd, how), ec);
}

void set_option(int fd, option_name option, int value, std::error_code& ec) noexcept {
  set_option(fd, option, &value, sizeof value, ec);
}

void set_option(int fd, option_name option, const void* value, socklen_t size,
                std::error_code& ec) noexcept {
  check(kernel::call(SYS_setsockopt, fd, option.level, option.name, value, size), ec);
}

address local_name(int fd, std::error_code& ec) noexcept {
  return name_by(SYS_getsockname, fd, ec);
}

address peer_name(int fd, std::error_code& ec) noexcept { return name_by(SYS_getpeername, fd, ec); }

void prepare_adoption(int fd, int type, bool (*accepts_family)(int family),
                      std::error_code& ec) noexcept {
  const int actual_type = int_option(fd, SO_TYPE, ec);
  if (ec) return;
  if (actual_type != type || !accepts_family(int_option(fd, SO_DOMAIN, ec))) {
    ec = code_of(-EPROTOTYPE);
    return;
  }
  const int flags = kernel::fcntl(fd, F_GETFL, 0);
  check(flags < 0 ? flags : kernel::fcntl(fd, F_SETFL, flags | O_NONBLOCK), ec);
}

bool is_ip_family(int family) noexcept { return family == AF_INET || family == AF_INET6; }

bool is_unix_family(int family) noexcept { return family == AF_UNIX; }

}  // namespace coir::net::detail
