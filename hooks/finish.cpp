#include "hooks/finish.hpp"

#include "runtime/io/io.hpp"

#include <cerrno>

namespace coir::hooks {
namespace {

int errno_of(ssize_t result) noexcept {
  return result == -ECANCELED ? io::interruption_error() : static_cast<int>(-result);
}

}  // namespace

ssize_t finish(ssize_t result) noexcept {
  if (result >= 0) return result;
  errno = errno_of(result);
  return -1;
}

int finish(int result) noexcept {
  if (result >= 0) return result;
  errno = errno_of(result);
  return -1;
}

}  // namespace coir::hooks
