#include "net/http/upgraded_stream.hpp"

#include "net/deadlines.hpp"

#include <algorithm>

namespace coir::net::http {

void upgraded_stream::shutdown(direction which, std::error_code& ec) { wire_.shutdown(which, ec); }

void upgraded_stream::close(std::error_code& ec) noexcept { wire_.close(ec); }

bool upgraded_stream::is_open() const noexcept { return wire_.is_open(); }

address upgraded_stream::local_address(std::error_code& ec) const noexcept {
  return wire_.local_address(ec);
}

address upgraded_stream::peer_address(std::error_code& ec) const noexcept {
  return wire_.peer_address(ec);
}

int upgraded_stream::native_handle() const noexcept { return wire_.native_handle(); }

std::size_t upgraded_stream::do_read(mutable_buffer into, coir::detail::deadline until,
                                     std::error_code& ec) {
  const std::string_view early = input_.unread();
  if (early.empty()) {
    detail::expire_reads_at(wire_, until);
    return wire_.read_some(into, ec);
  }
  const std::size_t count = std::min(early.size(), into.size());
  std::copy_n(early.data(), count, static_cast<char*>(into.data()));
  input_.consume(count);
  return count;
}

bool upgraded_stream::do_wait_readable(coir::detail::deadline until, std::error_code& ec) {
  if (!input_.unread().empty()) return true;
  detail::expire_reads_at(wire_, until);
  return wire_.wait_readable(ec);
}

std::size_t upgraded_stream::do_write(const_buffer from, coir::detail::deadline until,
                                      std::error_code& ec) {
  detail::expire_writes_at(wire_, until);
  return wire_.write_some(from, ec);
}

std::size_t upgraded_stream::do_write_parts(std::span<const const_buffer> parts,
                                            coir::detail::deadline until, std::error_code& ec) {
  detail::expire_writes_at(wire_, until);
  return wire_.write_parts(parts, ec);
}

}  // namespace coir::net::http
