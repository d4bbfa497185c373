/// The bytes of a connection that have been read and not yet been understood.
#pragma once

#include <coir/net/stream.hpp>

#include <cstddef>
#include <memory>
#include <string_view>
#include <system_error>

namespace coir::net::http {

/// A buffer in front of a stream. Grows as it must, up to a bound.
class input {
 public:
  explicit input(stream& from) noexcept : from_(from) {}

  /// What has been read.
  std::string_view unread() const noexcept { return {memory_.get() + begin_, end_ - begin_}; }
  /// Takes `count` bytes off the front of unread().
  void consume(std::size_t count) noexcept {
    begin_ += count;
    if (begin_ == end_) begin_ = end_ = 0;
  }
  /// Reads more behind unread(), which must be shorter than `bytes_max`; parks. Returns how many
  /// bytes came: 0 at the end of the stream, or with `ec` set. Views of unread() are void then.
  std::size_t fill(std::size_t bytes_max, std::error_code& ec);
  /// The stream itself, for what shall not be kept here; unread() must be empty.
  stream& source() noexcept { return from_; }

 private:
  void make_room(std::size_t bytes_max);

  stream& from_;
  std::unique_ptr<char[]> memory_;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace coir::net::http
