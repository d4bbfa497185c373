#include "hooks/threads/runtime_descriptors.hpp"

#include "runtime/kernel/calls.hpp"

#include <initializer_list>

#include <fcntl.h>
#include <sys/resource.h>

namespace coir::threads {

constinit runtime_descriptors own_descriptors{};

int move_up(int fd) noexcept {
  if (fd < 0) return fd;
  constexpr int room = 24;
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const int top =
      limit.rlim_cur > descriptors_max ? descriptors_max : static_cast<int>(limit.rlim_cur);
  const int moved = kernel::fcntl(fd, F_DUPFD_CLOEXEC, top > 2 * room ? top - room : 0);
  if (moved < 0) return fd;
  kernel::close(fd);
  return moved;
}

void close_inherited_descriptors() noexcept {
  if (own_descriptors.epoll >= 0) kernel::close(own_descriptors.epoll);
  if (own_descriptors.kick >= 0) kernel::close(own_descriptors.kick);
  own_descriptors.epoll = -1;
  own_descriptors.kick = -1;
}

bool is_runtime_descriptor(int fd) noexcept {
  return fd >= 0 && (fd == own_descriptors.epoll || fd == own_descriptors.kick);
}

int lowest_runtime_descriptor(unsigned first, unsigned last) noexcept {
  int lowest = -1;
  for (const int own : {own_descriptors.epoll, own_descriptors.kick}) {
    const auto number = static_cast<unsigned>(own);
    if (own >= 0 && number >= first && number <= last && (lowest < 0 || own < lowest)) lowest = own;
  }
  return lowest;
}

}  // namespace coir::threads
