/// A unix socket's path in the file system, to be removed when its socket goes.
#pragma once

#include <coir/net/address.hpp>

#include <sys/stat.h>
#include <sys/types.h>

namespace coir::net::detail {

/// Remembers which file a socket was bound to, so that no other file is removed in its place.
class bound_path {
 public:
  /// Nothing to remove.
  bound_path() noexcept = default;
  /// The file that was just made by binding to `local`.
  explicit bound_path(const address& local) noexcept;

  /// Removes the file if it still is that one, and this process made it. Once.
  void remove() noexcept;

 private:
  address where_;  ///< empty: nothing to remove
  dev_t device_ = 0;
  ino_t inode_ = 0;
  pid_t owner_ = 0;
};

}  // namespace coir::net::detail
