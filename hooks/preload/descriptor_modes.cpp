// Changes of a descriptor that concern how a fiber waits for it: what the runtime has noted for its
// number (hooks/threads/descriptor_slots.hpp) is forgotten.
#include "hooks/preload/preload.hpp"
#include "hooks/threads/descriptors.hpp"

#include <cstdarg>

#include <sys/ioctl.h>
#include <sys/socket.h>

COIR_DEFINE_REAL(setsockopt);

using namespace coir::hooks;
namespace threads = coir::threads;

namespace {

void forget(int fd) noexcept {
  if (threads::sched->is_on.load(std::memory_order_relaxed)) threads::forget_notes(fd);
}

}  // namespace

/// hook: sockets: time limits of calls that wait are looked up anew
COIR_HOOK int setsockopt(int fd, int level, int option, const void* value,
                         socklen_t size) noexcept {
  const bool is_time_limit =
      level == SOL_SOCKET && (option == SO_RCVTIMEO || option == SO_SNDTIMEO);
  if (is_time_limit) forget(fd);
  return real::setsockopt(fd, level, option, value, size);
}

// Its argument is a pointer or an integer, which go to the kernel alike.
/// hook: files: a change of the blocking mode (FIONBIO) is noticed
COIR_HOOK int ioctl(int fd, unsigned long request, ...) noexcept {
  va_list list;
  va_start(list, request);
  const long argument = va_arg(list, long);
  va_end(list);
  if (request == FIONBIO) forget(fd);
  return static_cast<int>(finish(coir::kernel::call(SYS_ioctl, fd, request, argument)));
}
