#include "runtime/base/assert.hpp"

#include <cstdio>
#include <cstdlib>

namespace coir::detail {

void (*describe_running_fiber)() noexcept = nullptr;

void assertion_failed(const char* expression, const char* file, int line) noexcept {
  std::fprintf(stderr, "coir: broken invariant: %s at %s:%d; please report this as a bug\n",
               expression, file, line);
  if (describe_running_fiber) describe_running_fiber();
  std::abort();
}

}  // namespace coir::detail
