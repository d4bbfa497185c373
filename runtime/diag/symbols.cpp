#include "runtime/diag/symbols.hpp"

#include <cstdio>
#include <cstdlib>
#include <memory>

#include <cxxabi.h>
#include <dlfcn.h>

namespace coir::detail {
namespace {

std::string demangled(const char* name) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> text(
      abi::__cxa_demangle(name, nullptr, nullptr, &status), std::free);
  return text ? text.get() : name;
}

std::string plus(const void* address, const void* start) {
  char text[32];
  std::snprintf(text, sizeof text, "+0x%tx",
                static_cast<const char*>(address) - static_cast<const char*>(start));
  return text;
}

}  // namespace

std::string words_for_address(const void* address, bool is_return_address) {
  const void* const meant = static_cast<const char*>(address) - (is_return_address ? 1 : 0);
  Dl_info found{};
  if (!dladdr(meant, &found) || !found.dli_fname) {
    char text[32];
    std::snprintf(text, sizeof text, "%p", address);
    return text;
  }
  const std::string path = found.dli_fname;
  const std::string module = path.substr(path.rfind('/') + 1) + plus(address, found.dli_fbase);
  if (!found.dli_sname) return module;
  return demangled(found.dli_sname) + plus(address, found.dli_saddr) + " (" + module + ')';
}

const void* module_of(const void* address) noexcept {
  Dl_info found{};
  return dladdr(address, &found) ? found.dli_fbase : nullptr;
}

}  // namespace coir::detail
