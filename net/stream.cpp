// What happens when another fiber closes a stream while one waits in it: stream_socket::close()
// wakes the waiter with -EBADF and closes the descriptor at once. A loop that reads or writes
// several times keeps no copy of the descriptor: its next call fails with -EBADF as well, even if
// the number is in use again.
#include <coir/net/stream.hpp>

#include "net/cooperative.hpp"
#include "net/gather.hpp"
#include "net/socket_calls.hpp"
#include "runtime/io/io.hpp"

#include <cerrno>
#include <new>

namespace coir::net {

using detail::code_of;
using detail::finish;

stream::stream() noexcept = default;

stream::stream(int fd) { hold(fd); }

stream::stream(stream&& other) noexcept = default;
stream& stream::operator=(stream&& other) noexcept = default;
stream::~stream() = default;

std::size_t stream::read_some(mutable_buffer into) {
  std::error_code ec;
  const std::size_t count = read_some(into, ec);
  if (ec) fail("read from", ec);
  return count;
}

std::size_t stream::read_some(mutable_buffer into, std::error_code& ec) {
  if (!begin_call(ec) || into.size() == 0) return 0;
  return finish(socket_.recv(into.data(), into.size(), 0, read_until()), ec);
}

std::size_t stream::read_exactly(mutable_buffer into) {
  std::error_code ec;
  const std::size_t count = read_exactly(into, ec);
  if (ec) fail_after(count, "read from", ec);
  return count;
}

std::size_t stream::read_exactly(mutable_buffer into, std::error_code& ec) {
  if (!begin_call(ec)) return 0;
  const coir::detail::deadline until = read_until();
  std::size_t count = 0;
  while (!ec && count < into.size()) {
    const mutable_buffer rest = into.from(count);
    const std::size_t more = finish(socket_.recv(rest.data(), rest.size(), 0, until), ec);
    if (more == 0 && !ec) ec = errc::end_of_stream;
    count += more;
  }
  return count;
}

std::size_t stream::write_some(const_buffer from) {
  std::error_code ec;
  const std::size_t count = write_some(from, ec);
  if (ec) fail("write to", ec);
  return count;
}

std::size_t stream::write_some(const_buffer from, std::error_code& ec) {
  if (!begin_call(ec) || from.size() == 0) return 0;
  return finish(socket_.send(from.data(), from.size(), MSG_NOSIGNAL, write_until()), ec);
}

std::size_t stream::write_all(const_buffer from) {
  std::error_code ec;
  const std::size_t count = write_all(from, ec);
  if (ec) fail_after(count, "write to", ec);
  return count;
}

std::size_t stream::write_all(const_buffer from, std::error_code& ec) {
  if (!begin_call(ec)) return 0;
  const coir::detail::deadline until = write_until();
  std::size_t count = 0;
  while (!ec && count < from.size()) {
    const const_buffer rest = from.from(count);
    count += finish(socket_.send(rest.data(), rest.size(), MSG_NOSIGNAL, until), ec);
  }
  return count;
}

std::size_t stream::write_parts(std::span<const const_buffer> parts) {
  std::error_code ec;
  const std::size_t count = write_parts(parts, ec);
  if (ec) fail_after(count, "write to", ec);
  return count;
}

std::size_t stream::write_parts(std::span<const const_buffer> parts, std::error_code& ec) {
  if (!begin_call(ec)) return 0;
  const coir::detail::deadline until = write_until();
  detail::gather rest(parts);
  std::size_t count = 0;
  while (const msghdr* message = ec ? nullptr : rest.next()) {
    const std::size_t more = finish(socket_.sendmsg(message, MSG_NOSIGNAL, until), ec);
    rest.advance(more);
    count += more;
  }
  return count;
}

void stream::shutdown(direction which) {
  std::error_code ec;
  shutdown(which, ec);
  if (ec) fail("shut down connection to", ec);
}

void stream::shutdown(direction which, std::error_code& ec) noexcept {
  constexpr int how[] = {SHUT_RD, SHUT_WR, SHUT_RDWR};
  detail::shutdown_socket(native_handle(), how[static_cast<int>(which)], ec);
}

void stream::close() {
  std::error_code ec;
  close(ec);
  if (ec) detail::throw_error(ec, "close stream");
}

void stream::close(std::error_code& ec) noexcept {
  ec.clear();
  if (!is_open()) return;
  const int result = socket_.close();
  if (result < 0) ec = code_of(result);
}

bool stream::is_open() const noexcept { return native_handle() >= 0; }

address stream::local_address() const {
  std::error_code ec;
  const address local = local_address(ec);
  if (ec) detail::throw_error(ec, "local address of stream");
  return local;
}

address stream::local_address(std::error_code& ec) const noexcept {
  return detail::local_name(native_handle(), ec);
}

address stream::peer_address() const {
  std::error_code ec;
  const address peer = peer_address(ec);
  if (ec) detail::throw_error(ec, "peer address of stream");
  return peer;
}

address stream::peer_address(std::error_code& ec) const noexcept {
  return detail::peer_name(native_handle(), ec);
}

int stream::native_handle() const noexcept { return socket_.fd(); }

int stream::release() noexcept { return socket_.release(); }

void stream::open_socket(const address& peer, coir::detail::deadline until, std::error_code& ec) {
  if (is_open()) ec = std::make_error_code(std::errc::already_connected);
  if (is_open() || !detail::ensure_worker(ec)) return;
  detail::descriptor made = detail::make_socket(peer.family(), SOCK_STREAM, ec);
  if (ec) return;
  hold(made.release());  // before it is connected, so that close() can end the wait
  int result = io::connect(native_handle(), peer.data(), peer.size(), {until});
  if (!is_open()) result = -EBADF;  // closed meanwhile, perhaps after the connection was there
  if (result < 0) socket_.close();
  finish(result, ec);
}

/// Owns `fd` from now on; closes it when there is no memory.
void stream::hold(int fd) {
  socket_ = io::stream_socket(fd);
  if (!is_open()) throw std::bad_alloc();
}

/// Every call that may wait begins so; `ec` is clear when it says true.
bool stream::begin_call(std::error_code& ec) const {
  ec.clear();
  if (!is_open()) ec = code_of(-EBADF);
  return !ec && detail::ensure_worker(ec);
}

void stream::prepare_adoption(int fd, bool (*accepts_family)(int), std::error_code& ec) noexcept {
  detail::prepare_adoption(fd, SOCK_STREAM, accepts_family, ec);
}

void stream::fail(const char* what, const std::error_code& ec) const {
  detail::throw_error(ec, message(what, ec));
}

void stream::fail_after(std::size_t bytes, const char* what, const std::error_code& ec) const {
  throw partial_transfer(ec, message(what, ec), bytes);
}

/// A reset connection has no peer any more; its descriptor is then what tells it from others. After
/// EBADF nothing here is looked at: the fiber that closed the stream may have destroyed it since.
std::string stream::message(const char* what, const std::error_code& ec) const {
  const std::string text = std::string(what) + ' ';
  if (ec == std::errc::bad_file_descriptor) return text + "closed stream";
  std::error_code unknown;
  const address peer = peer_address(unknown);
  return text + (unknown ? "descriptor " + std::to_string(native_handle()) : peer.to_string());
}

}  // namespace coir::net
