/// What is left of a vector of buffers after some of it has been transferred.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

#include <sys/uio.h>

namespace coir::io {

/// Total size of `count` parts.
inline std::size_t total_size(const iovec* parts, std::size_t count) noexcept {
  std::size_t sum = 0;
  for (std::size_t i = 0; i < count; ++i) sum += parts[i].iov_len;
  return sum;
}

/// A view of the caller's parts that can move forward. Copies the parts only when it has to change
/// one.
class part_cursor {
 public:
  part_cursor(const iovec* parts, std::size_t count) noexcept : parts_(parts), count_(count) {}

  const iovec* parts() const noexcept { return parts_; }
  std::size_t count() const noexcept { return count_; }
  bool is_at_end() const noexcept { return total_size(parts_, count_) == 0; }

  /// Steps over `bytes`, of which so many must be left. False when there is no memory for the copy.
  bool advance(std::size_t bytes) noexcept {
    std::size_t whole = 0;
    while (whole < count_ && bytes >= parts_[whole].iov_len) bytes -= parts_[whole++].iov_len;
    if (bytes == 0) {
      parts_ += whole;
      count_ -= whole;
      return true;
    }
    return cut(whole, bytes);
  }

 private:
  bool cut(std::size_t whole, std::size_t bytes) noexcept {
    std::unique_ptr<iovec[]> copy(new (std::nothrow) iovec[count_ - whole]);
    if (!copy) return false;
    for (std::size_t i = whole; i < count_; ++i) copy[i - whole] = parts_[i];
    copy[0].iov_base = static_cast<std::byte*>(copy[0].iov_base) + bytes;
    copy[0].iov_len -= bytes;
    count_ -= whole;
    copy_ = std::move(copy);
    parts_ = copy_.get();
    return true;
  }

  const iovec* parts_;
  std::size_t count_;
  std::unique_ptr<iovec[]> copy_;
};

/// Calls `step(parts, count)` until all parts are transferred, it says 0, or it fails: the
/// semantics of a blocking write. Returns the bytes transferred, or -errno when there were none.
template <class Step>
ssize_t transfer_all(const iovec* parts, std::size_t count, Step step) noexcept {
  part_cursor left(parts, count);
  ssize_t done = 0;
  for (;;) {
    const ssize_t moved = step(left.parts(), left.count());
    if (moved < 0) return done > 0 ? done : moved;
    done += moved;
    if (moved == 0 || !left.advance(static_cast<std::size_t>(moved)) || left.is_at_end())
      return done;
  }
}

}  // namespace coir::io
