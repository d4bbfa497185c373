/// open(2) that stops no other fiber.
#pragma once

namespace coir::detail {

/// A descriptor that was opened, or why none was.
struct opened {
  int fd;         ///< or -errno
  unsigned mode;  ///< st_mode
};

/// Opens `path` with `flags` of open(2), to which O_CLOEXEC and O_NOCTTY are added, on an offload
/// thread; the calling fiber parks. A FIFO's other end is waited for without any thread. On a
/// worker only; -ECANCELED when that wait was interrupted.
opened open_file(const char* path, int flags, unsigned permissions) noexcept;

}  // namespace coir::detail
