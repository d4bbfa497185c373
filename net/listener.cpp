#include <coir/net/listener.hpp>

#include "net/cooperative.hpp"
#include "net/socket_calls.hpp"
#include "runtime/io/io.hpp"

#include <cerrno>
#include <utility>

namespace coir::net {

listener::listener(listener&& other) noexcept : expiry(other), fd_(other.release()) {}

listener& listener::operator=(listener&& other) noexcept {
  if (this == &other) return *this;
  std::error_code ignored;
  close(ignored);
  expiry::operator=(other);
  fd_ = other.release();
  return *this;
}

listener::~listener() {
  std::error_code ignored;
  close(ignored);
}

void listener::close() {
  std::error_code ec;
  close(ec);
  if (ec) detail::throw_error(ec, "close listener");
}

void listener::close(std::error_code& ec) noexcept {
  ec.clear();
  if (!is_open()) return;
  const int result = io::close(release());
  if (result < 0) ec = detail::code_of(result);
}

address listener::local_address() const {
  std::error_code ec;
  const address local = local_address(ec);
  if (ec) detail::throw_error(ec, "local address of listener");
  return local;
}

address listener::local_address(std::error_code& ec) const noexcept {
  return detail::local_name(fd_, ec);
}

int listener::release() noexcept { return std::exchange(fd_, -1); }

int listener::accept_socket(address* peer, std::error_code& ec) {
  if (!detail::ensure_worker(ec)) return -1;
  address from;
  int fd;
  do {  // a connection that was given up in the queue is not the caller's business
    socklen_t size = address::capacity();
    fd = is_open()
             ? io::accept(fd_, from.data(), &size, SOCK_NONBLOCK | SOCK_CLOEXEC, {read_until()})
             : -EBADF;
    from.resize(size);
  } while (fd == -ECONNABORTED);
  detail::finish(fd, ec);
  if (ec) return -1;
  if (peer) *peer = from;
  return fd;
}

void listener::prepare_adoption(int fd, bool (*accepts_family)(int), std::error_code& ec) noexcept {
  detail::prepare_adoption(fd, SOCK_STREAM, accepts_family, ec);
}

void listener::fail(const char* what, const std::error_code& ec) const {
  const std::string text = std::string(what) + ' ';
  // The fiber that closed it may have destroyed it since: nothing of it may be looked at then.
  if (ec == std::errc::bad_file_descriptor) detail::throw_error(ec, text + "closed listener");
  std::error_code unknown;
  detail::throw_error(ec, text + local_address(unknown).to_string());
}

}  // namespace coir::net
