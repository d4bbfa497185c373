#include <coir/net/stream.hpp>

#include "net/cooperative.hpp"

#include <cerrno>

namespace coir::net {

std::size_t stream::read_some(mutable_buffer into) {
  std::error_code ec;
  const std::size_t count = read_some(into, ec);
  if (ec) fail("read from", ec);
  return count;
}

std::size_t stream::read_some(mutable_buffer into, std::error_code& ec) {
  return begin_call(into.size(), ec) ? do_read(into, read_until(), ec) : 0;
}

std::size_t stream::read_exactly(mutable_buffer into) {
  std::error_code ec;
  const std::size_t count = read_exactly(into, ec);
  if (ec) fail_after(count, "read from", ec);
  return count;
}

std::size_t stream::read_exactly(mutable_buffer into, std::error_code& ec) {
  if (!begin_call(into.size(), ec)) return 0;
  const coir::detail::deadline until = read_until();
  std::size_t count = 0;
  while (!ec && count < into.size()) {
    const std::size_t more = do_read(into.from(count), until, ec);
    if (more == 0 && !ec) ec = errc::end_of_stream;
    count += more;
  }
  return count;
}

bool stream::wait_readable() {
  std::error_code ec;
  const bool has_bytes = wait_readable(ec);
  if (ec) fail("wait for", ec);
  return has_bytes;
}

bool stream::wait_readable(std::error_code& ec) {
  return begin_call(1, ec) && do_wait_readable(read_until(), ec);
}

bool stream::do_wait_readable(coir::detail::deadline, std::error_code& ec) {
  ec = std::make_error_code(std::errc::operation_not_supported);
  return false;
}

std::size_t stream::write_some(const_buffer from) {
  std::error_code ec;
  const std::size_t count = write_some(from, ec);
  if (ec) fail("write to", ec);
  return count;
}

std::size_t stream::write_some(const_buffer from, std::error_code& ec) {
  return begin_call(from.size(), ec) ? do_write(from, write_until(), ec) : 0;
}

std::size_t stream::write_all(const_buffer from) {
  std::error_code ec;
  const std::size_t count = write_all(from, ec);
  if (ec) fail_after(count, "write to", ec);
  return count;
}

std::size_t stream::write_all(const_buffer from, std::error_code& ec) {
  if (!begin_call(from.size(), ec)) return 0;
  const coir::detail::deadline until = write_until();
  std::size_t count = 0;
  while (!ec && count < from.size()) count += do_write(from.from(count), until, ec);
  return count;
}

std::size_t stream::write_parts(std::span<const const_buffer> parts) {
  std::error_code ec;
  const std::size_t count = write_parts(parts, ec);
  if (ec) fail_after(count, "write to", ec);
  return count;
}

std::size_t stream::write_parts(std::span<const const_buffer> parts, std::error_code& ec) {
  return begin_call(parts.size(), ec) ? do_write_parts(parts, write_until(), ec) : 0;
}

void stream::shutdown(direction which) {
  std::error_code ec;
  shutdown(which, ec);
  if (ec) fail("shut down connection to", ec);
}

void stream::close() {
  std::error_code ec;
  close(ec);
  if (ec) detail::throw_error(ec, "close stream");
}

address stream::local_address() const {
  std::error_code ec;
  const address local = local_address(ec);
  if (ec) detail::throw_error(ec, "local address of stream");
  return local;
}

address stream::peer_address() const {
  std::error_code ec;
  const address peer = peer_address(ec);
  if (ec) detail::throw_error(ec, "peer address of stream");
  return peer;
}

/// Every call that moves bytes begins so. True when it is to go on; else there is nothing to move,
/// or `ec` is set.
bool stream::begin_call(std::size_t size, std::error_code& ec) const {
  ec.clear();
  if (!is_open()) ec = detail::code_of(-EBADF);
  return !ec && size != 0 && detail::ensure_worker(ec);
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
