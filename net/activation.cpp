// The protocol is sd_listen_fds(3): descriptors from 3 on, LISTEN_FDS of them, for the process
// LISTEN_PID, with names between colons in LISTEN_FDNAMES.
#include <coir/net/activation.hpp>

#include "net/cooperative.hpp"
#include "net/socket_calls.hpp"
#include "runtime/kernel/calls.hpp"

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string_view>

#include <unistd.h>

namespace coir::net {
namespace {

constexpr int first_descriptor = 3;

/// What went wrong, for the message.
struct trouble {
  std::error_code ec;
  std::string what;
};

std::optional<int> number_in(const char* variable) {
  const char* const text = std::getenv(variable);
  if (!text) return {};
  int value = -1;
  const char* const end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, value);
  if (error != std::errc() || stop != end) return -1;
  return value;
}

std::vector<std::string> names_in(const char* variable) {
  std::vector<std::string> names;
  const char* const text = std::getenv(variable);
  std::string_view rest = text ? text : "";
  while (!rest.empty()) {
    const std::size_t colon = rest.find(':');
    names.emplace_back(rest.substr(0, colon));
    rest = colon == rest.npos ? std::string_view() : rest.substr(colon + 1);
  }
  return names;
}

/// Takes `fd` over as the first kind that it can be.
template <class First, class... Others, class Socket>
void adopt_as(int fd, Socket& into, std::error_code& ec) {
  First made = First::adopt(fd, ec);
  if (!ec) {
    into = std::move(made);
  } else if constexpr (sizeof...(Others) > 0) {
    if (ec == std::errc::wrong_protocol_type) adopt_as<Others...>(fd, into, ec);
  }
}

/// Adopted sockets are given back on an error: they are not ours then.
void give_back(std::vector<activated_socket>& sockets) {
  for (activated_socket& each : sockets) {
    std::visit([](auto& s) { s.release(); }, each.socket);
  }
  sockets.clear();
}

bool is_listening(int fd) {
  int value = 0;
  socklen_t size = sizeof value;
  return kernel::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &size) == 0 && value;
}

activated_socket take(int fd, std::string name, trouble& t) {
  activated_socket taken{std::move(name)};
  adopt_as<tcp_listener, unix_listener, udp_socket, unix_datagram>(fd, taken.socket, t.ec);
  const bool is_stream = taken.socket.index() < 2;
  if (!t.ec && is_stream && !is_listening(fd)) {
    std::visit([](auto& s) { s.release(); }, taken.socket);
    t.ec = std::make_error_code(std::errc::invalid_argument);
  }
  if (t.ec) {
    t.what = "descriptor " + std::to_string(fd) + " (" + taken.name +
             ") of LISTEN_FDS, which must be a listening stream socket or a datagram socket";
    return taken;
  }
  kernel::fcntl(fd, F_SETFD, FD_CLOEXEC);
  return taken;
}

std::vector<activated_socket> take_all(trouble& t) {
  const std::optional<int> pid = number_in("LISTEN_PID");
  const std::optional<int> count = number_in("LISTEN_FDS");
  if (!pid || !count || (*pid != ::getpid() && *pid > 0)) return {};
  if (*pid <= 0 || *count < 0) {
    t = {std::make_error_code(std::errc::invalid_argument),
         "LISTEN_PID and LISTEN_FDS, which must be numbers"};
    return {};
  }
  const std::vector<std::string> names = names_in("LISTEN_FDNAMES");
  std::vector<activated_socket> sockets;
  for (int i = 0; i < *count; ++i) {
    const auto at = static_cast<std::size_t>(i);
    sockets.push_back(take(first_descriptor + i, at < names.size() ? names[at] : "unknown", t));
    if (!t.ec) continue;
    sockets.pop_back();
    give_back(sockets);
    return {};
  }
  for (const char* each : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) ::unsetenv(each);
  return sockets;
}

std::vector<any_listener> take_listeners(trouble& t) {
  std::vector<activated_socket> sockets = take_all(t);
  std::vector<any_listener> listeners;
  for (activated_socket& each : sockets) {
    if (auto* const tcp = std::get_if<tcp_listener>(&each.socket)) {
      listeners.emplace_back(std::move(*tcp));
    } else if (auto* const local = std::get_if<unix_listener>(&each.socket)) {
      listeners.emplace_back(std::move(*local));
    } else {
      t = {std::make_error_code(std::errc::wrong_protocol_type),
           "the socket " + each.name + " of LISTEN_FDS, which is not for connections"};
      for (any_listener& l : listeners) std::visit([](auto& s) { s.release(); }, l);
      give_back(sockets);
      return {};
    }
  }
  return listeners;
}

}  // namespace

std::vector<activated_socket> activated_sockets() {
  trouble t;
  auto sockets = take_all(t);
  if (t.ec) detail::throw_error(t.ec, "take over " + t.what);
  return sockets;
}

std::vector<activated_socket> activated_sockets(std::error_code& ec) {
  trouble t;
  auto sockets = take_all(t);
  ec = t.ec;
  return sockets;
}

std::vector<any_listener> activated_listeners() {
  trouble t;
  auto listeners = take_listeners(t);
  if (t.ec) detail::throw_error(t.ec, "take over " + t.what);
  return listeners;
}

std::vector<any_listener> activated_listeners(std::error_code& ec) {
  trouble t;
  auto listeners = take_listeners(t);
  ec = t.ec;
  return listeners;
}

}  // namespace coir::net
