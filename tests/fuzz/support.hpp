/// What the fuzz targets share: the check that ends a run, and a connection whose peer is the
/// input.
#pragma once

#include <coir/net/stream.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

namespace coir::fuzz {

/// Ends the program, which is a finding, unless it holds.
inline void demand(bool condition) {
  if (!condition) std::abort();
}

/// The input as text.
inline std::string_view text_of(const std::uint8_t* data, std::size_t size) noexcept {
  return {reinterpret_cast<const char*>(data), size};
}

/// How large the pieces are in which an input comes that begins with this byte.
inline std::size_t piece_size(std::uint8_t first, std::size_t all) noexcept {
  return first == 'x' ? std::max<std::size_t>(all, 1) : 1 + first % 64;
}

/// A connection whose peer has sent all it ever will, and which comes in pieces of one size. Keeps
/// what is written to it. Whoever reads again and again behind the end hangs, and is found.
class canned_stream final : public net::stream {
 public:
  canned_stream(std::string_view sent, std::size_t piece) : sent_(sent), piece_(piece) {}

  const std::string& written() const { return written_; }
  /// The most that a read had room for.
  std::size_t room_max() const { return room_max_; }

  void shutdown(net::direction, std::error_code& ec) override { ec.clear(); }
  void close(std::error_code& ec) noexcept override { ec.clear(); }
  bool is_open() const noexcept override { return true; }
  net::address local_address(std::error_code&) const noexcept override { return {}; }
  net::address peer_address(std::error_code&) const noexcept override { return {}; }
  int native_handle() const noexcept override { return -1; }

 private:
  static constexpr int reads_behind_end_max = 8;

  std::size_t do_read(net::mutable_buffer into, coir::detail::deadline, std::error_code&) override {
    const std::size_t count = std::min({sent_.size(), into.size(), piece_});
    if (count == 0) demand(++reads_behind_end_ <= reads_behind_end_max);
    room_max_ = std::max(room_max_, into.size());
    if (count != 0) std::memcpy(into.data(), sent_.data(), count);
    sent_.remove_prefix(count);
    return count;
  }
  std::size_t do_write(net::const_buffer from, coir::detail::deadline, std::error_code&) override {
    written_.append(static_cast<const char*>(from.data()), from.size());
    return from.size();
  }
  std::size_t do_write_parts(std::span<const net::const_buffer> parts, coir::detail::deadline until,
                             std::error_code& ec) override {
    std::size_t count = 0;
    for (const net::const_buffer& each : parts) {
      if (each.size() != 0) count += do_write(each, until, ec);
    }
    return count;
  }

  std::string_view sent_;
  std::size_t piece_;
  std::size_t room_max_ = 0;
  int reads_behind_end_ = 0;
  std::string written_;
};

}  // namespace coir::fuzz
