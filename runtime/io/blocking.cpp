#include "runtime/io/blocking.hpp"

#include "runtime/io/await.hpp"
#include "runtime/io/offload.hpp"
#include "runtime/kernel/calls.hpp"
#include "runtime/kernel/thread_host.hpp"

#include <linux/io_uring.h>

namespace coir::io {
namespace {

using detail::operation;
using detail::operation_kind;

/// The plain system call; blocks its thread.
std::int64_t make_call(const operation& op) noexcept {
  const auto* parts = static_cast<const iovec*>(op.buffer);
  const int count = static_cast<int>(op.size);
  switch (op.kind) {
    case operation_kind::readv:
      return kernel::preadv2(op.fd, parts, count, op.offset, 0);
    case operation_kind::writev:
      return kernel::pwritev2(op.fd, parts, count, op.offset, 0);
    case operation_kind::fsync:
      return op.flags & IORING_FSYNC_DATASYNC ? kernel::fdatasync(op.fd) : kernel::fsync(op.fd);
    default:
      return -EOPNOTSUPP;
  }
}

}  // namespace

std::int64_t perform(operation& op, detail::deadline until) noexcept {
  if (thread_scheduler* const threads = threads_of_caller())
    return io::call_blocking(*threads, [&op] { return make_call(op); });
  const std::int64_t result = await(op, until);
  if (result != -EOPNOTSUPP) return result;
  return offload_or_error([&op] {
    const kernel::blocking_section others_run;
    return make_call(op);
  });
}

}  // namespace coir::io
