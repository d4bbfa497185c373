#include "hooks/real.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include <dlfcn.h>

namespace coir::hooks {
namespace {

thread_local constinit bool looking_up = false;

/// So that no hook meets dlsym for the first time in a signal handler, or after a fork that left
/// its lock held.
[[gnu::constructor]] void look_up_everything() noexcept {
#define COIR_LOOK_UP(name, fallback) real::name.get();
  COIR_REAL_FUNCTIONS(COIR_LOOK_UP)
#undef COIR_LOOK_UP
}

}  // namespace

[[gnu::noinline]] bool is_looking_up() noexcept { return looking_up; }

void* find_next(const char* name) noexcept {
  if (looking_up) return nullptr;
  const int saved_errno = errno;
  looking_up = true;
  void* const found = dlsym(RTLD_NEXT, name);
  looking_up = false;
  errno = saved_errno;
  return found;
}

void report_missing(const char* name) noexcept {
  auto print = [](const char* text) {
    kernel::call(SYS_write, STDERR_FILENO, text, std::strlen(text));
  };
  print("coir: the C library has no function ");
  print(name);
  print(", which the hooks need\n");
  std::abort();
}

}  // namespace coir::hooks
