/// A connection after a change of the protocol on it: HTTP may have read some of the other one
/// already.
#pragma once

#include "net/http/input.hpp"

#include <coir/net/stream.hpp>

namespace coir::net::http {

/// A connection whose first bytes were read too early; they come first. Owns neither.
class upgraded_stream : public stream {
 public:
  upgraded_stream(input& read_already, stream& wire) noexcept : input_(read_already), wire_(wire) {}

  using stream::close;
  using stream::local_address;
  using stream::peer_address;
  using stream::shutdown;
  void shutdown(direction which, std::error_code& ec) override;
  void close(std::error_code& ec) noexcept override;
  bool is_open() const noexcept override;
  address local_address(std::error_code& ec) const noexcept override;
  address peer_address(std::error_code& ec) const noexcept override;
  int native_handle() const noexcept override;

 private:
  std::size_t do_read(mutable_buffer into, coir::detail::deadline until,
                      std::error_code& ec) override;
  bool do_wait_readable(coir::detail::deadline until, std::error_code& ec) override;
  std::size_t do_write(const_buffer from, coir::detail::deadline until,
                       std::error_code& ec) override;
  std::size_t do_write_parts(std::span<const const_buffer> parts, coir::detail::deadline until,
                             std::error_code& ec) override;

  input& input_;
  stream& wire_;
};

}  // namespace coir::net::http
