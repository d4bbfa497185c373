#include "runtime/system/edge.hpp"

#include "runtime/io/io.hpp"
#include "runtime/kernel/calls.hpp"

#include <fcntl.h>

namespace coir::detail {

void owned_fd::reset(int fd) noexcept {
  if (fd_ >= 0) io::close(fd_);
  fd_ = fd;
}

namespace {

/// A program may have closed its standard descriptors; what is to become one of a child's must not
/// stand in the place of another.
int move_up(owned_fd& fd) noexcept {
  constexpr int first_free = 3;
  if (fd.get() >= first_free) return 0;
  const int moved = kernel::fcntl(fd.get(), F_DUPFD_CLOEXEC, first_free);
  if (moved < 0) return moved;
  fd.reset(moved);
  return 0;
}

}  // namespace

int make_pipe(owned_fd& reader, owned_fd& writer) noexcept {
  int ends[2] = {-1, -1};
  const long made = kernel::call(SYS_pipe2, ends, O_CLOEXEC);
  if (made < 0) return static_cast<int>(made);
  reader.reset(ends[0]);
  writer.reset(ends[1]);
  const int error = move_up(reader);
  return error < 0 ? error : move_up(writer);
}

}  // namespace coir::detail
