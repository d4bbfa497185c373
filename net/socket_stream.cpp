// What happens when another fiber closes a stream while one waits in it: stream_socket::close()
// wakes the waiter with -EBADF and closes the descriptor at once. A loop that reads or writes
// several times keeps no copy of the descriptor: its next call fails with -EBADF as well, even if
// the number is in use again.
#include <coir/net/socket_stream.hpp>

#include "net/cooperative.hpp"
#include "net/gather.hpp"
#include "net/socket_calls.hpp"
#include "runtime/io/io.hpp"
#include "runtime/kernel/calls.hpp"

#include <cerrno>
#include <new>

namespace coir::net {

using detail::code_of;
using detail::finish;

socket_stream::socket_stream() noexcept = default;

socket_stream::socket_stream(int fd) { hold(fd); }

socket_stream::socket_stream(socket_stream&& other) noexcept = default;
socket_stream& socket_stream::operator=(socket_stream&& other) noexcept = default;
socket_stream::~socket_stream() = default;

std::size_t socket_stream::do_read(mutable_buffer into, coir::detail::deadline until,
                                   std::error_code& ec) {
  return finish(socket_.recv(into.data(), into.size(), 0, until), ec);
}

/// Asks the kernel first: that costs less than a park which ends at once.
bool socket_stream::do_wait_readable(coir::detail::deadline until, std::error_code& ec) {
  char byte;
  const auto peek = [&] {
    return kernel::recvfrom(native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT, nullptr, nullptr);
  };
  ssize_t seen = peek();
  if (seen == -EAGAIN && until <= coir::detail::now_ns()) seen = -ETIMEDOUT;
  if (seen == -EAGAIN) seen = socket_.recv(&byte, 1, MSG_PEEK, until);
  return finish(seen, ec) != 0;
}

std::size_t socket_stream::do_write(const_buffer from, coir::detail::deadline until,
                                    std::error_code& ec) {
  return finish(socket_.send(from.data(), from.size(), MSG_NOSIGNAL, until), ec);
}

std::size_t socket_stream::do_write_parts(std::span<const const_buffer> parts,
                                          coir::detail::deadline until, std::error_code& ec) {
  detail::gather rest(parts);
  std::size_t count = 0;
  while (const msghdr* message = ec ? nullptr : rest.next()) {
    const std::size_t more = finish(socket_.sendmsg(message, MSG_NOSIGNAL, until), ec);
    rest.advance(more);
    count += more;
  }
  return count;
}

void socket_stream::shutdown(direction which, std::error_code& ec) noexcept {
  constexpr int how[] = {SHUT_RD, SHUT_WR, SHUT_RDWR};
  detail::shutdown_socket(native_handle(), how[static_cast<int>(which)], ec);
}

void socket_stream::close(std::error_code& ec) noexcept {
  ec.clear();
  if (!is_open()) return;
  const int result = socket_.close();
  if (result < 0) ec = code_of(result);
}

bool socket_stream::is_open() const noexcept { return native_handle() >= 0; }

address socket_stream::local_address(std::error_code& ec) const noexcept {
  return detail::local_name(native_handle(), ec);
}

address socket_stream::peer_address(std::error_code& ec) const noexcept {
  return detail::peer_name(native_handle(), ec);
}

int socket_stream::native_handle() const noexcept { return socket_.fd(); }

int socket_stream::release() noexcept { return socket_.release(); }

void socket_stream::open_socket(const address& peer, coir::detail::deadline until,
                                std::error_code& ec) {
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
void socket_stream::hold(int fd) {
  socket_ = io::stream_socket(fd);
  if (!is_open()) throw std::bad_alloc();
}

void socket_stream::prepare_adoption(int fd, bool (*accepts_family)(int),
                                     std::error_code& ec) noexcept {
  detail::prepare_adoption(fd, SOCK_STREAM, accepts_family, ec);
}

}  // namespace coir::net
