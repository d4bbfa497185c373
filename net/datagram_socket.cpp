#include <coir/net/datagram_socket.hpp>

#include "net/cooperative.hpp"
#include "net/socket_calls.hpp"
#include "runtime/io/io.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace coir::net {
namespace {

/// recvmsg, with MSG_TRUNC in flags so that it tells the datagram's whole size.
received receive_message(int fd, mutable_buffer into, address* from, coir::detail::deadline until,
                         std::error_code& ec) {
  iovec part{into.data(), into.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (from) {
    message.msg_name = from->data();
    message.msg_namelen = address::capacity();
  }
  const std::size_t size = detail::finish(io::recvmsg(fd, &message, MSG_TRUNC, {until}), ec);
  if (from && ec) *from = {};
  if (from && !ec) from->resize(message.msg_namelen);
  return {std::min(size, into.size()), size};
}

}  // namespace

datagram_socket::datagram_socket(datagram_socket&& other) noexcept
    : expiry(other), fd_(other.release()) {}

datagram_socket& datagram_socket::operator=(datagram_socket&& other) noexcept {
  if (this == &other) return *this;
  std::error_code ignored;
  close(ignored);
  expiry::operator=(other);
  fd_ = other.release();
  return *this;
}

datagram_socket::~datagram_socket() {
  std::error_code ignored;
  close(ignored);
}

std::size_t datagram_socket::send_to(const_buffer from, const address& to) {
  std::error_code ec;
  const std::size_t count = send_to(from, to, ec);
  if (ec) detail::throw_error(ec, "send to " + to.to_string());
  return count;
}

std::size_t datagram_socket::send_to(const_buffer from, const address& to, std::error_code& ec) {
  if (!begin_call(ec)) return 0;
  return detail::finish(io::sendto(fd_, from.data(), from.size(), MSG_NOSIGNAL, to.data(),
                                   to.size(), {write_until()}),
                        ec);
}

std::size_t datagram_socket::send(const_buffer from) {
  std::error_code ec;
  const std::size_t count = send(from, ec);
  if (ec) fail("send from", ec);
  return count;
}

std::size_t datagram_socket::send(const_buffer from, std::error_code& ec) {
  if (!begin_call(ec)) return 0;
  return detail::finish(io::send(fd_, from.data(), from.size(), MSG_NOSIGNAL, {write_until()}), ec);
}

received datagram_socket::receive_from(mutable_buffer into, address& from) {
  std::error_code ec;
  const received got = receive_from(into, from, ec);
  if (ec) fail("receive on", ec);
  return got;
}

received datagram_socket::receive_from(mutable_buffer into, address& from, std::error_code& ec) {
  if (!begin_call(ec)) return {};
  return receive_message(fd_, into, &from, read_until(), ec);
}

received datagram_socket::receive(mutable_buffer into) {
  std::error_code ec;
  const received got = receive(into, ec);
  if (ec) fail("receive on", ec);
  return got;
}

received datagram_socket::receive(mutable_buffer into, std::error_code& ec) {
  if (!begin_call(ec)) return {};
  return receive_message(fd_, into, nullptr, read_until(), ec);
}

void datagram_socket::connect(const address& peer) {
  std::error_code ec;
  connect(peer, ec);
  if (ec) detail::throw_error(ec, "connect to " + peer.to_string());
}

void datagram_socket::connect(const address& peer, std::error_code& ec) noexcept {
  detail::connect_now(fd_, peer, ec);
}

void datagram_socket::close() {
  std::error_code ec;
  close(ec);
  if (ec) detail::throw_error(ec, "close datagram socket");
}

void datagram_socket::close(std::error_code& ec) noexcept {
  ec.clear();
  if (!is_open()) return;
  const int result = io::close(release());
  if (result < 0) ec = detail::code_of(result);
}

address datagram_socket::local_address() const {
  std::error_code ec;
  const address local = local_address(ec);
  if (ec) detail::throw_error(ec, "local address of datagram socket");
  return local;
}

address datagram_socket::local_address(std::error_code& ec) const noexcept {
  return detail::local_name(fd_, ec);
}

address datagram_socket::peer_address() const {
  std::error_code ec;
  const address peer = peer_address(ec);
  if (ec) detail::throw_error(ec, "peer address of datagram socket");
  return peer;
}

address datagram_socket::peer_address(std::error_code& ec) const noexcept {
  return detail::peer_name(fd_, ec);
}

int datagram_socket::release() noexcept { return std::exchange(fd_, -1); }

/// Every call that may wait begins so.
bool datagram_socket::begin_call(std::error_code& ec) const {
  ec.clear();
  if (!is_open()) ec = detail::code_of(-EBADF);
  return !ec && detail::ensure_worker(ec);
}

void datagram_socket::fail(const char* what, const std::error_code& ec) const {
  const std::string text = std::string(what) + ' ';
  // The fiber that closed it may have destroyed it since: nothing of it may be looked at then.
  if (ec == std::errc::bad_file_descriptor) detail::throw_error(ec, text + "closed socket");
  std::error_code unknown;
  detail::throw_error(ec, text + local_address(unknown).to_string());
}

}  // namespace coir::net
