// Any descriptor: read and write, at the current position or at a given one, and what forces data
// to the disk.
#include "hooks/chk.hpp"
#include "hooks/hook.hpp"
#include "runtime/io/io.hpp"

using namespace coir;
using namespace coir::hooks;

/// hook: any descriptor: readiness; of regular files: the ring or an offload thread
COIR_HOOK ssize_t read(int fd, void* data, size_t size) {
  if (!on_fiber_or_cancelled()) return real::read(fd, data, size);
  return finish(io::read(fd, data, size, io::posix_manners));
}
COIR_HOOK ssize_t __read(int, void*, size_t) COIR_HOOK_ALIAS(read);

/// hook: any descriptor: readiness; of regular files: the ring or an offload thread
COIR_HOOK ssize_t __read_chk(int fd, void* data, size_t size, size_t capacity) {
  check_capacity(size, capacity);
  return read(fd, data, size);
}

/// hook: any descriptor: readiness; of regular files: the ring or an offload thread
COIR_HOOK ssize_t readv(int fd, const iovec* parts, int count) {
  if (!on_fiber_or_cancelled()) return real::readv(fd, parts, count);
  return finish(io::readv(fd, parts, count, io::posix_manners));
}

/// hook: any descriptor: readiness; of regular files: the ring or an offload thread
COIR_HOOK ssize_t write(int fd, const void* data, size_t size) {
  if (!on_fiber_or_cancelled()) return real::write(fd, data, size);
  return finish(io::write(fd, data, size, io::posix_manners));
}
COIR_HOOK ssize_t __write(int, const void*, size_t) COIR_HOOK_ALIAS(write);

/// hook: any descriptor: readiness; of regular files: the ring or an offload thread
COIR_HOOK ssize_t writev(int fd, const iovec* parts, int count) {
  if (!on_fiber_or_cancelled()) return real::writev(fd, parts, count);
  return finish(io::writev(fd, parts, count, io::posix_manners));
}

// Files at a given position. off_t has 64 bits on the platforms that coir supports, so that the 64
// twins are aliases.
static_assert(sizeof(off_t) == sizeof(off64_t));

/// hook: any descriptor: the ring or an offload thread
COIR_HOOK ssize_t pread(int fd, void* data, size_t size, off_t offset) {
  if (!on_fiber_or_cancelled(family::file)) return real::pread(fd, data, size, offset);
  return finish(io::pread(fd, data, size, offset, io::posix_manners));
}
COIR_HOOK ssize_t pread64(int, void*, size_t, off64_t) COIR_HOOK_ALIAS(pread);
COIR_HOOK ssize_t __pread64(int, void*, size_t, off64_t) COIR_HOOK_ALIAS(pread);

/// hook: any descriptor: the ring or an offload thread
COIR_HOOK ssize_t __pread_chk(int fd, void* data, size_t size, off_t offset, size_t capacity) {
  check_capacity(size, capacity);
  return pread(fd, data, size, offset);
}
COIR_HOOK ssize_t __pread64_chk(int, void*, size_t, off64_t, size_t) COIR_HOOK_ALIAS(__pread_chk);

/// hook: any descriptor: the ring or an offload thread
COIR_HOOK ssize_t pwrite(int fd, const void* data, size_t size, off_t offset) {
  if (!on_fiber_or_cancelled(family::file)) return real::pwrite(fd, data, size, offset);
  return finish(io::pwrite(fd, data, size, offset, io::posix_manners));
}
COIR_HOOK ssize_t pwrite64(int, const void*, size_t, off64_t) COIR_HOOK_ALIAS(pwrite);
COIR_HOOK ssize_t __pwrite64(int, const void*, size_t, off64_t) COIR_HOOK_ALIAS(pwrite);

// One system call on an offload thread, because several preads would not be one read to a
// concurrent writer.
/// hook: any descriptor: an offload thread
COIR_HOOK ssize_t preadv(int fd, const iovec* parts, int count, off_t offset) {
  if (!on_fiber_or_cancelled(family::file)) return real::preadv(fd, parts, count, offset);
  const auto [size, error] = offloaded([&] { return real::preadv(fd, parts, count, offset); });
  return finish(size < 0 ? -error : size);
}
COIR_HOOK ssize_t preadv64(int, const iovec*, int, off64_t) COIR_HOOK_ALIAS(preadv);

/// hook: any descriptor: an offload thread
COIR_HOOK ssize_t pwritev(int fd, const iovec* parts, int count, off_t offset) {
  if (!on_fiber_or_cancelled(family::file)) return real::pwritev(fd, parts, count, offset);
  const auto [size, error] = offloaded([&] { return real::pwritev(fd, parts, count, offset); });
  return finish(size < 0 ? -error : size);
}
COIR_HOOK ssize_t pwritev64(int, const iovec*, int, off64_t) COIR_HOOK_ALIAS(pwritev);

/// hook: any descriptor: the ring or an offload thread
COIR_HOOK int fsync(int fd) {
  if (!on_fiber_or_cancelled(family::file)) return real::fsync(fd);
  return finish(io::fsync(fd, io::posix_manners));
}

/// hook: any descriptor: the ring or an offload thread
COIR_HOOK int fdatasync(int fd) {
  if (!on_fiber_or_cancelled(family::file)) return real::fdatasync(fd);
  return finish(io::fdatasync(fd, io::posix_manners));
}
