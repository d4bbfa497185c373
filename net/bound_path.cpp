#include <coir/net/detail/bound_path.hpp>

#include <utility>

#include <unistd.h>

namespace coir::net::detail {

bound_path::bound_path(const address& local) noexcept {
  struct stat file;
  if (!local.is_unix() || local.is_abstract()) return;
  if (::lstat(local.path().data(), &file) != 0) return;
  where_ = local;
  device_ = file.st_dev;
  inode_ = file.st_ino;
  owner_ = ::getpid();
}

void bound_path::remove() noexcept {
  const address mine = std::exchange(where_, {});
  if (mine.path().empty() || owner_ != ::getpid()) return;
  const char* const path = mine.path().data();  // unix_path() puts a NUL behind it
  struct stat now;
  const bool is_there = ::lstat(path, &now) == 0;
  if (is_there && now.st_dev == device_ && now.st_ino == inode_) ::unlink(path);
}

}  // namespace coir::net::detail
