#include "net/door.hpp"

#include "net/cooperative.hpp"
#include "net/socket_calls.hpp"
#include "runtime/kernel/calls.hpp"

#include <type_traits>
#include <utility>

namespace coir::net::detail {

door::door(any_listener listener, std::size_t worker)
    : listener_(std::move(listener)), worker_(worker) {
  std::error_code unknown;
  local_ = std::visit([&](const auto& l) { return l.local_address(unknown); }, listener_);
}

std::unique_ptr<stream> door::accept(address& peer, std::error_code& ec) {
  return std::visit(
      [&](auto& listener) -> std::unique_ptr<stream> {
        auto accepted = listener.accept(peer, ec);
        if (ec) return nullptr;
        return std::make_unique<decltype(accepted)>(std::move(accepted));
      },
      listener_);
}

void door::close() noexcept {
  std::error_code ignored;
  std::visit([&](auto& listener) { listener.close(ignored); }, listener_);
}

bool door::is_open() const noexcept {
  return std::visit([](const auto& listener) { return listener.is_open(); }, listener_);
}

door door::duplicate(std::size_t worker, std::error_code& ec) const {
  return std::visit(
      [&](const auto& listener) {
        using kind = std::decay_t<decltype(listener)>;
        const int fd = kernel::fcntl(listener.native_handle(), F_DUPFD_CLOEXEC, 0);
        if (fd < 0) {
          ec = code_of(fd);
          return door(kind(), worker);
        }
        descriptor owner(fd);
        kind copy = kind::adopt(fd, ec);
        if (!ec) owner.release();
        return door(std::move(copy), worker);
      },
      listener_);
}

any_listener listen_at(const address& local, const door_options& how, std::error_code& ec) {
  if (local.is_unix()) {
    unix_listener::options options;
    options.backlog = how.backlog;
    return unix_listener::listen(local, options, ec);
  }
  tcp_listener::options options;
  options.backlog = how.backlog;
  options.reuse_port = how.reuse_port;
  options.v6_only = how.v6_only;
  return tcp_listener::listen(local, options, ec);
}

}  // namespace coir::net::detail
