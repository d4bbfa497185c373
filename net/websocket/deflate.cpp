#include "net/websocket/deflate.hpp"

#include <boost/beast/zlib/deflate_stream.hpp>
#include <boost/beast/zlib/inflate_stream.hpp>

#include <algorithm>
#include <memory>
#include <new>

namespace coir::net::websocket {
namespace {

namespace zlib = boost::beast::zlib;

// As zlib has them by default.
constexpr int level = 6;
constexpr int memory_level = 8;

// The end of a flushed block; each message would end so and therefore leaves it out.
constexpr char block_end[] = {0, 0, '\xff', '\xff'};

// Room for the first part of what is unpacked; then twice as much each time.
constexpr std::size_t smallest_room = 1024;

}  // namespace

std::string packed(std::string_view message, int window_bits) {
  const auto packer = std::make_unique<zlib::deflate_stream>();  // too large for a fiber's stack
  packer->reset(level, window_bits, memory_level, zlib::Strategy::normal);
  // A flush must have room for more than its marker, or it would be written twice.
  std::string out(packer->upper_bound(message.size()) + 16, '\0');
  zlib::z_params progress;
  progress.next_in = message.data();
  progress.avail_in = message.size();
  progress.next_out = out.data();
  progress.avail_out = out.size();
  boost::system::error_code ec;
  for (;;) {
    packer->write(progress, zlib::Flush::sync, ec);
    if (ec && ec != zlib::error::need_buffers) throw std::bad_alloc();
    if (progress.avail_in == 0 && progress.avail_out != 0) break;
    const std::size_t filled = progress.total_out;
    out.resize(2 * out.size());
    progress.next_out = out.data() + filled;
    progress.avail_out = out.size() - filled;
  }
  out.resize(progress.total_out - sizeof block_end);
  return out;
}

unpack_result unpack(std::string_view message, std::size_t bytes_max, std::string& out) {
  const auto unpacker = std::make_unique<zlib::inflate_stream>();
  unpacker->reset(window_bits_max);
  std::string in(message);
  in.append(block_end, sizeof block_end);
  zlib::z_params progress;
  progress.next_in = in.data();
  progress.avail_in = in.size();
  out.clear();
  boost::system::error_code ec;
  do {
    const std::size_t filled = progress.total_out;
    if (filled > bytes_max) return unpack_result::too_big;
    // One byte more than is allowed: whoever fills it is too big.
    out.resize(std::min(std::max(2 * filled, smallest_room), bytes_max) + 1);
    progress.next_out = out.data() + filled;
    progress.avail_out = out.size() - filled;
    unpacker->write(progress, zlib::Flush::sync, ec);
    if (ec && ec != zlib::error::need_buffers && ec != zlib::error::end_of_stream) {
      return unpack_result::invalid;
    }
    // A final block before the end of the message: nothing that follows is of the message.
    if (ec == zlib::error::end_of_stream) break;
  } while (progress.avail_out == 0);
  if (progress.total_out > bytes_max) return unpack_result::too_big;
  if (progress.avail_in != 0 && ec != zlib::error::end_of_stream) return unpack_result::invalid;
  out.resize(progress.total_out);
  return unpack_result::done;
}

}  // namespace coir::net::websocket
