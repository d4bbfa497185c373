#include <coir/net/unix_listener.hpp>

#include "net/cooperative.hpp"
#include "net/socket_calls.hpp"

#include <utility>

namespace coir::net {

unix_listener::unix_listener(unix_listener&& other) noexcept
    : listener(std::move(other)), path_(std::exchange(other.path_, {})) {}

unix_listener& unix_listener::operator=(unix_listener&& other) noexcept {
  if (this == &other) return *this;
  path_.remove();
  listener::operator=(std::move(other));  // NOLINT(bugprone-use-after-move): moves the base only
  path_ = std::exchange(other.path_, {});
  return *this;
}

unix_listener::~unix_listener() { path_.remove(); }

unix_listener unix_listener::listen(const address& local, const options& how) {
  std::error_code ec;
  unix_listener made = listen(local, how, ec);
  if (ec) detail::throw_error(ec, "listen on " + local.to_string());
  return made;
}

unix_listener unix_listener::listen(const address& local, const options& how, std::error_code& ec) {
  if (!local.is_unix()) {
    ec = std::make_error_code(std::errc::address_family_not_supported);
    return {};
  }
  detail::descriptor made = detail::make_socket(AF_UNIX, SOCK_STREAM, ec);
  if (!ec) detail::bind_to(made.get(), local, ec);
  if (ec) return {};
  unix_listener bound(made.release());
  if (how.unlink_on_close) bound.path_ = detail::bound_path(local);
  detail::listen_on(bound.native_handle(), how.backlog, ec);
  return ec ? unix_listener() : std::move(bound);
}

unix_stream unix_listener::accept() {
  std::error_code ec;
  unix_stream accepted = accept(ec);
  if (ec) fail("accept on", ec);
  return accepted;
}

unix_stream unix_listener::accept(std::error_code& ec) {
  const int fd = accept_socket(nullptr, ec);
  return ec ? unix_stream() : unix_stream(fd);
}

unix_stream unix_listener::accept(address& peer) {
  std::error_code ec;
  unix_stream accepted = accept(peer, ec);
  if (ec) fail("accept on", ec);
  return accepted;
}

unix_stream unix_listener::accept(address& peer, std::error_code& ec) {
  const int fd = accept_socket(&peer, ec);
  return ec ? unix_stream() : unix_stream(fd);
}

void unix_listener::close() {
  path_.remove();
  listener::close();
}

void unix_listener::close(std::error_code& ec) noexcept {
  path_.remove();
  listener::close(ec);
}

int unix_listener::release() noexcept {
  path_ = {};
  return listener::release();
}

unix_listener unix_listener::adopt(int fd) {
  std::error_code ec;
  unix_listener made = adopt(fd, ec);
  if (ec) detail::throw_error(ec, "adopt descriptor " + std::to_string(fd));
  return made;
}

unix_listener unix_listener::adopt(int fd, std::error_code& ec) noexcept {
  prepare_adoption(fd, detail::is_unix_family, ec);
  return ec ? unix_listener() : unix_listener(fd);
}

}  // namespace coir::net
