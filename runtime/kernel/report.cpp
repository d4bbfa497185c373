#include "runtime/kernel/report.hpp"

#include "runtime/kernel/calls.hpp"

#include <cerrno>
#include <cstdarg>
#include <cstdio>

#include <unistd.h>

namespace coir::kernel {

void report(const char* format, ...) noexcept {
  const int saved_errno = errno;  // formatting may set it; no switch can happen in between
  char line[1024];
  int used = std::snprintf(line, sizeof line, "coir: ");
  va_list arguments;
  va_start(arguments, format);
  used += std::vsnprintf(line + used, sizeof line - static_cast<std::size_t>(used) - 1, format,
                         arguments);
  va_end(arguments);
  if (used > static_cast<int>(sizeof line) - 2) used = sizeof line - 2;
  line[used++] = '\n';
  write(STDERR_FILENO, line, static_cast<std::size_t>(used));
  errno = saved_errno;
}

}  // namespace coir::kernel
