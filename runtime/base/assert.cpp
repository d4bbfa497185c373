#include "runtime/base/assert.hpp"

#include <cstdio>
#include <cstdlib>

namespace coir::detail {

constinit std::atomic<void (*)() noexcept> describe_running_fiber{nullptr};

void assertion_failed(const char* expression, const char* file, int line) noexcept {
  std::fprintf(stderr, "coir: broken invariant: %s at %s:%d; please report this as a bug\n",
               expression, file, line);
  if (const auto describe = describe_running_fiber.load()) describe();
  std::abort();
}

}  // namespace coir::detail
