#include <coir/detail/select_case.hpp>

#include "runtime/io/edge.hpp"

#include <cerrno>

#include <poll.h>

namespace coir::detail {

case_base::~case_base() = default;

descriptor_case::~descriptor_case() = default;

bool descriptor_case::commit_now() {
  if (take()) return true;
  found_ = 0;
  return false;
}

void descriptor_case::expect_open() const {
  if (found_ & POLLNVAL) throw_error(code_of(-EBADF), "coir::select: a descriptor that is closed");
}

}  // namespace coir::detail
