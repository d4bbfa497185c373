#include "net/http/served_connection.hpp"

#include <coir/net/stream.hpp>

#include <chrono>
#include <system_error>

namespace coir::net::http {
namespace {

constexpr std::chrono::seconds linger_time{2};
constexpr std::size_t thrown_away_bytes_max = 256 * 1024;

}  // namespace

void served_connection::linger() {
  std::error_code ec;
  client_.shutdown(direction::write, ec);
  client_.reads_expire_after(linger_time);
  char thrown_away[4096];
  for (std::size_t bytes = 0; !ec && bytes < thrown_away_bytes_max;) {
    const std::size_t count = client_.read_some(thrown_away, ec);
    if (count == 0) break;
    bytes += count;
  }
}

}  // namespace coir::net::http
