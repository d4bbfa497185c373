#include "net/http/input.hpp"

#include <algorithm>
#include <cstring>

namespace coir::net::http {
namespace {

// Many heads fit, and an idle connection costs little. A client whose heads are longer makes its
// connection's buffer grow once.
constexpr std::size_t capacity_at_first = 1024;

}  // namespace

std::size_t input::fill(std::size_t bytes_max, std::error_code& ec) {
  make_room(bytes_max);
  const std::size_t count = from_.read_some({memory_.get() + end_, capacity_ - end_}, ec);
  end_ += count;
  return count;
}

void input::make_room(std::size_t bytes_max) {
  if (end_ < capacity_) return;
  const std::size_t size = end_ - begin_;
  if (begin_ > 0) {
    std::memmove(memory_.get(), memory_.get() + begin_, size);
  } else {
    const std::size_t more = std::max(std::min(bytes_max, 2 * capacity_), capacity_at_first);
    auto grown = std::make_unique_for_overwrite<char[]>(more);
    std::copy_n(memory_.get(), size, grown.get());
    memory_ = std::move(grown);
    capacity_ = more;
  }
  begin_ = 0;
  end_ = size;
}

}  // namespace coir::net::http
