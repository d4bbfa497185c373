// Each look-up has a channel of its own, on the stack of the fiber that asks: so it ends with the
// fiber's wait, whatever ends that, and two look-ups share no socket, whose port a forger of
// answers would have to guess once only. A channel costs the reading of /etc/resolv.conf, which is
// little beside an answer that has to come over a network.
//
// c-ares calls back within ares_process_fd and its kin. What is called back never parks and never
// throws: C frames lie below.
#include "net/ares_look_up.hpp"

#include "net/cooperative.hpp"
#include "runtime/io/io.hpp"
#include "runtime/io/resolve.hpp"
#include "runtime/kernel/calls.hpp"

#include <coir/net/error.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include <ares.h>
#include <netinet/in.h>

namespace coir::net::detail {
namespace {

using coir::detail::deadline;

/// c-ares reads errno. Not inlined: its address must not be kept over a switch.
[[gnu::noinline]] void set_errno(long negative_errno) noexcept {
  errno = static_cast<int>(-negative_errno);
}

template <class Result>
Result to_libc(Result result) noexcept {
  if (result >= 0) return result;
  set_errno(result);
  return -1;
}

// Raw system calls, below the hooks, on sockets that never block.

ares_socket_t open_socket(int family, int type, int protocol, void*) noexcept {
  return to_libc(static_cast<int>(
      kernel::call(SYS_socket, family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol)));
}

/// A fiber has waited for it.
int close_socket(ares_socket_t fd, void*) noexcept { return to_libc(io::close(fd)); }

int connect_socket(ares_socket_t fd, const sockaddr* peer, ares_socklen_t size, void*) noexcept {
  return to_libc(kernel::connect(fd, peer, size));
}

ares_ssize_t receive(ares_socket_t fd, void* data, std::size_t size, int flags, sockaddr* from,
                     ares_socklen_t* from_size, void*) noexcept {
  return to_libc(kernel::recvfrom(fd, data, size, flags, from, from_size));
}

ares_ssize_t send_parts(ares_socket_t fd, const iovec* parts, int count, void*) noexcept {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(parts);
  message.msg_iovlen = static_cast<std::size_t>(count);
  return to_libc(kernel::sendmsg(fd, &message, MSG_NOSIGNAL));
}

constexpr ares_socket_functions raw_calls = {open_socket, close_socket, connect_socket, receive,
                                             send_parts};

std::error_code code_of_ares(int status) noexcept {
  switch (status) {
    case ARES_SUCCESS:
      return {};
    case ARES_ENODATA:
      return resolve_errc::no_address;
    case ARES_ENOTFOUND:
    case ARES_ENONAME:
    case ARES_EBADNAME:
      return resolve_errc::host_not_found;
    case ARES_ETIMEOUT:
    case ARES_ECONNREFUSED:
    case ARES_ESERVFAIL:
      return resolve_errc::try_again;
    case ARES_ENOMEM:
      return resolve_errc::no_memory;
    default:
      return resolve_errc::failed;
  }
}

ares_addr_port_node node_of(const address& server) noexcept {
  ares_addr_port_node node{};
  node.family = server.family();
  node.udp_port = node.tcp_port = server.port();
  if (server.is_ipv4()) {
    sockaddr_in native;
    std::memcpy(&native, server.data(), sizeof native);
    node.addr.addr4 = native.sin_addr;
  } else {
    sockaddr_in6 native;
    std::memcpy(&native, server.data(), sizeof native);
    std::memcpy(&node.addr.addr6, &native.sin6_addr, sizeof node.addr.addr6);
  }
  return node;
}

class question {
 public:
  explicit question(std::span<const address> servers) {
    static const int library = ares_library_init(ARES_LIB_INIT_ALL);
    status_ = library == ARES_SUCCESS ? ares_init(&channel_) : library;
    if (status_ != ARES_SUCCESS) return;
    ares_set_socket_functions(channel_, &raw_calls, nullptr);
    if (!servers.empty()) use(servers);
  }
  question(const question&) = delete;
  question& operator=(const question&) = delete;
  ~question() {
    if (channel_) ares_destroy(channel_);  // tells on_answer, if that has not come
    if (answer_) ares_freeaddrinfo(answer_);
  }

  void ask(const std::string& host) noexcept {
    if (status_ != ARES_SUCCESS) return;
    ares_addrinfo_hints hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    is_asked_ = true;
    ares_getaddrinfo(channel_, host.c_str(), nullptr, &hints, on_answer, this);
  }

  bool is_done() const noexcept { return !is_asked_ || is_answered_; }
  std::error_code error() const noexcept { return code_of_ares(status_); }

  std::vector<address> addresses() const {
    std::vector<address> all;
    for (const ares_addrinfo_node* each = answer_ ? answer_->nodes : nullptr; each;
         each = each->ai_next) {
      all.push_back(address::from_native(each->ai_addr, each->ai_addrlen));
    }
    return all;
  }

  /// Parks until there is something to do, or until `until`, and does it; 0 when that has passed,
  /// or -errno.
  int step(deadline until) noexcept {
    std::array<pollfd, ARES_GETSOCK_MAXNUM> sockets;
    const nfds_t count = sockets_awaited(sockets);
    const int ready = io::poll(sockets.data(), count, std::min(until, next_retry()));
    if (ready < 0) return ready;
    if (ready == 0 && until != coir::detail::never && coir::detail::now_ns() >= until) return 0;
    if (ready == 0) ares_process_fd(channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    for (nfds_t i = 0; i < count && !is_answered_; ++i) {
      const bool has_failed = sockets[i].revents & (POLLERR | POLLHUP | POLLNVAL);
      const bool is_readable = sockets[i].revents & POLLIN;
      const bool is_writable = sockets[i].revents & POLLOUT;
      if (!has_failed && !is_readable && !is_writable) continue;
      ares_process_fd(channel_, is_readable || has_failed ? sockets[i].fd : ARES_SOCKET_BAD,
                      is_writable ? sockets[i].fd : ARES_SOCKET_BAD);
    }
    return 1;
  }

 private:
  void use(std::span<const address> servers) {
    std::vector<ares_addr_port_node> nodes;
    for (const address& each : servers) nodes.push_back(node_of(each));
    for (std::size_t i = 1; i < nodes.size(); ++i) nodes[i - 1].next = &nodes[i];
    status_ = ares_set_servers_ports(channel_, nodes.data());
  }

  nfds_t sockets_awaited(std::array<pollfd, ARES_GETSOCK_MAXNUM>& sockets) const noexcept {
    std::array<ares_socket_t, ARES_GETSOCK_MAXNUM> fds;
    const auto bits =
        static_cast<unsigned>(ares_getsock(channel_, fds.data(), static_cast<int>(fds.size())));
    nfds_t count = 0;
    for (unsigned i = 0; i < fds.size(); ++i) {
      short events = 0;
      if (ARES_GETSOCK_READABLE(bits, i)) events |= POLLIN;
      if (ARES_GETSOCK_WRITABLE(bits, i)) events |= POLLOUT;
      if (events) sockets[count++] = {fds[i], events, 0};
    }
    return count;
  }

  /// When c-ares wants to ask again, or another server.
  deadline next_retry() const noexcept {
    timeval left{};
    if (!ares_timeout(channel_, nullptr, &left)) return coir::detail::never;
    return coir::detail::now_ns() + left.tv_sec * deadline{1'000'000'000} +
           left.tv_usec * deadline{1'000};
  }

  static void on_answer(void* self, int status, int, ares_addrinfo* answer) noexcept {
    auto& own = *static_cast<question*>(self);
    own.status_ = status;
    own.answer_ = answer;
    own.is_answered_ = true;
  }

  ares_channel channel_ = nullptr;
  ares_addrinfo* answer_ = nullptr;
  int status_ = ARES_SUCCESS;
  bool is_asked_ = false;
  bool is_answered_ = false;
};

/// True when the answer is there; else with `ec` set.
bool await_answer(question& asked, deadline until, std::error_code& ec) {
  while (!asked.is_done()) {
    const int result = asked.step(until);
    if (result > 0) continue;
    finish(result == 0 ? -ETIMEDOUT : result, ec);
    return false;
  }
  return true;
}

}  // namespace

std::vector<address> look_up_by_ares(const std::string& host, std::span<const address> servers,
                                     deadline until, std::error_code& ec) {
  io::look_up_count().begun.fetch_add(1, std::memory_order_relaxed);
  question asked(servers);
  asked.ask(host);
  if (!await_answer(asked, until, ec)) return {};
  ec = asked.error();
  std::vector<address> found = ec ? std::vector<address>() : asked.addresses();
  if (!ec && found.empty()) ec = resolve_errc::no_address;
  if (ec) io::look_up_count().failed.fetch_add(1, std::memory_order_relaxed);
  return found;
}

}  // namespace coir::net::detail
