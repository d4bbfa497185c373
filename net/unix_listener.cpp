#include <coir/net/unix_listener.hpp>

#include "net/cooperative.hpp"
#include "net/socket_calls.hpp"

#include <utility>

#include <unistd.h>

namespace coir::net {

unix_listener::unix_listener(unix_listener&& other) noexcept
    : listener(std::move(other)), file_(std::exchange(other.file_, {})) {}

unix_listener& unix_listener::operator=(unix_listener&& other) noexcept {
  if (this == &other) return *this;
  remove_file();
  listener::operator=(std::move(other));  // NOLINT(bugprone-use-after-move): moves the base only
  file_ = std::exchange(other.file_, {});
  return *this;
}

unix_listener::~unix_listener() { remove_file(); }

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
  if (how.unlink_on_close && !local.is_abstract()) bound.remember_file(local);
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
  remove_file();
  listener::close();
}

void unix_listener::close(std::error_code& ec) noexcept {
  remove_file();
  listener::close(ec);
}

int unix_listener::release() noexcept {
  file_ = {};
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

void unix_listener::remember_file(const address& local) noexcept {
  struct stat file;
  const bool is_there = ::lstat(local.path().data(), &file) == 0;
  if (is_there) file_ = {local, file.st_dev, file.st_ino, ::getpid()};
}

/// Before the descriptor is closed: nobody should find a path at which nobody listens.
void unix_listener::remove_file() noexcept {
  const bound_file mine = std::exchange(file_, {});
  if (mine.where.path().empty() || mine.owner != ::getpid()) return;
  const char* const path = mine.where.path().data();  // unix_path() puts a NUL behind it
  struct stat now;
  const bool is_there = ::lstat(path, &now) == 0;
  if (is_there && now.st_dev == mine.device && now.st_ino == mine.inode) ::unlink(path);
}

}  // namespace coir::net
