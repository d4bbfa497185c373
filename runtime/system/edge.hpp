/// The edge between the cooperative calls, which return -errno, and the error codes and exceptions
/// of files, processes and signals.
#pragma once

#include <string>
#include <system_error>

#include <sys/types.h>

namespace coir::detail {

/// The code of a failed call's -errno.
inline std::error_code code_of(long negative_errno) noexcept {
  return {static_cast<int>(-negative_errno), std::system_category()};
}

/// Makes the calling thread a worker if it is none; false with `ec` set when that is impossible.
bool ensure_worker(std::error_code& ec);

/// The value of a cooperative call, or 0 with `ec` set. Throws what interrupted the wait; what the
/// caller holds must be released by destructors.
std::size_t finish(ssize_t result, std::error_code& ec);

/// Throws std::system_error saying "`what`: message of `ec`".
[[noreturn]] void throw_error(const std::error_code& ec, const std::string& what);

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
