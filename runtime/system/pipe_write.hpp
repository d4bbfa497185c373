/// Writing to a pipe without the signal that a pipe without a reader sends.
#pragma once

#include "runtime/io/io.hpp"

#include <cstddef>

#include <sys/uio.h>

namespace coir::detail {

/// io::writev on a pipe or FIFO in whatever mode, but -EPIPE comes without SIGPIPE, and a large
/// write never blocks the thread.
ssize_t write_pipe(int fd, const iovec* parts, std::size_t count, io::wait_mode mode) noexcept;

/// One attempt, which does not wait: -EAGAIN when nothing fits.
ssize_t try_write_pipe(int fd, const iovec* parts, std::size_t count) noexcept;

}  // namespace coir::detail
