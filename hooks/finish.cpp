#include "hooks/finish.hpp"

#include <cerrno>

namespace coir::hooks {

ssize_t finish(ssize_t result) noexcept {
  if (result >= 0) return result;
  errno = static_cast<int>(-result);
  return -1;
}

int finish(int result) noexcept {
  if (result >= 0) return result;
  errno = -result;
  return -1;
}

}  // namespace coir::hooks
