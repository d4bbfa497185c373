/// What files, processes and signals share: the edge to error codes, and descriptors.
#pragma once

#include "runtime/io/edge.hpp"

namespace coir::detail {

/// Owns a descriptor that nobody waits for.
class owned_fd {
 public:
  owned_fd() noexcept = default;
  /// A negative number is no descriptor.
  explicit owned_fd(int fd) noexcept : fd_(fd) {}
  owned_fd(owned_fd&& other) noexcept : fd_(other.release()) {}
  owned_fd& operator=(owned_fd&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  ~owned_fd() { reset(); }

  int get() const noexcept { return fd_; }
  int release() noexcept {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }
  void reset(int fd = -1) noexcept;

 private:
  int fd_ = -1;
};

/// A pipe whose ends are closed on exec and are none of the standard descriptors; 0 or -errno.
int make_pipe(owned_fd& reader, owned_fd& writer) noexcept;

}  // namespace coir::detail
