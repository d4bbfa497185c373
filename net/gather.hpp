/// The rest of a list of buffers that is being sent.
#pragma once

#include <coir/net/buffer.hpp>

#include <cstddef>
#include <span>

#include <sys/socket.h>
#include <sys/uio.h>

namespace coir::net::detail {

/// Describes to sendmsg what is left of several buffers; passed piece by piece, since the kernel
/// takes no more than IOV_MAX parts a call and a fiber's stack should not hold that many.
class gather {
 public:
  explicit gather(std::span<const const_buffer> parts) noexcept : parts_(parts) {}

  /// The next message to send; null when nothing is left. Valid until the next call.
  const msghdr* next() noexcept {
    skip_empty();
    message_ = {};
    message_.msg_iov = pieces_;
    std::size_t skip = done_;
    for (const const_buffer& part : parts_) {
      if (message_.msg_iovlen == pieces_max) break;
      const const_buffer left = part.from(skip);
      pieces_[message_.msg_iovlen++] = {const_cast<void*>(left.data()), left.size()};
      skip = 0;
    }
    return parts_.empty() ? nullptr : &message_;
  }

  /// `bytes` more of them were sent.
  void advance(std::size_t bytes) noexcept {
    done_ += bytes;
    while (!parts_.empty() && done_ >= parts_.front().size()) {
      done_ -= parts_.front().size();
      parts_ = parts_.subspan(1);
    }
  }

 private:
  /// Ahead of the first byte, so that sendmsg never gets a message of nothing.
  void skip_empty() noexcept { advance(0); }

  static constexpr std::size_t pieces_max = 32;

  std::span<const const_buffer> parts_;
  std::size_t done_ = 0;  ///< bytes of the first part that were sent
  iovec pieces_[pieces_max];
  msghdr message_{};
};

}  // namespace coir::net::detail
