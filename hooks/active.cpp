// Whether the hooks are in force: the first definition of each hooked name, in the order in which
// the dynamic linker looks, must be ours.
#include "hooks/real.hpp"

#include <coir/hooks.hpp>

#include <dlfcn.h>

namespace coir::hooks {
namespace {

/// The load address of the library or program that holds `address`; null when none does.
const void* home_of(const void* address) noexcept {
  Dl_info found;
  return address && dladdr(address, &found) ? found.dli_fbase : nullptr;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
/// The interceptors of a sanitizer stand in front of everybody and pass each call on to the next
/// definition, which is ours unless libc comes first.
bool reaches_us(const char* name) noexcept {
  const void* first = dlsym(RTLD_DEFAULT, name);
  return home_of(first) != home_of(dlsym(RTLD_DEFAULT, "gnu_get_libc_version"));
}
#else
bool reaches_us(const char* name) noexcept {
  return home_of(dlsym(RTLD_DEFAULT, name)) == home_of(reinterpret_cast<const void*>(&home_of));
}
#endif

}  // namespace

bool active() noexcept {
#define COIR_NAME_OF(name, fallback) #name,
  constexpr const char* hooked[] = {COIR_REAL_FUNCTIONS(COIR_NAME_OF)};
#undef COIR_NAME_OF
  for (const char* name : hooked) {
    if (!reaches_us(name)) return false;
  }
  return true;
}

void* detail::original_address(const char* name) noexcept { return find_next(name); }

}  // namespace coir::hooks
