/// Where a thread's TLS connections gather records, to send several by one call.
#pragma once

#include <cstddef>
#include <cstring>

namespace coir::net::detail {

/// Of a thread, for one connection at a time, and only until that parks.
class record_buffer {
 public:
  static constexpr std::size_t record_bytes = 16 * 1024;  ///< what a record holds at most
  /// Each call has a price in the network stack that a copy of a record does not reach; more than
  /// these make the next level of the cache work.
  static constexpr std::size_t records_max = 4;

  /// The calling thread's; null while it is in use, at the end of the thread, and without memory.
  static record_buffer* borrow() noexcept;
  /// To be called by who borrowed it, on the same thread; it is empty then.
  void give_back() noexcept;

  const char* data() const noexcept { return bytes_; }
  std::size_t size() const noexcept { return size_; }
  /// False when there is not so much room; then nothing was added.
  bool append(const char* from, std::size_t size) noexcept {
    if (size > sizeof bytes_ - size_) return false;
    std::memcpy(bytes_ + size_, from, size);
    size_ += size;
    return true;
  }
  void clear() noexcept { size_ = 0; }

 private:
  static constexpr std::size_t overhead_bytes = 64;  ///< head, kind, tag; 22 in TLS 1.3

  std::size_t size_ = 0;
  char bytes_[records_max * (record_bytes + overhead_bytes)];
};

}  // namespace coir::net::detail
