// The standard streams belong to the process and to those it shares them with: never closed, never
// destroyed, and their mode is never touched.
#include "runtime/kernel/calls.hpp"

#include <coir/file.hpp>

#include <sys/stat.h>

namespace coir {

file& file::standard(int fd, const char* name) {
  struct stat status {};
  kernel::call(SYS_fstat, fd, &status);
  auto* const made = new file(fd, name, kind_of(status.st_mode));  // stays for the whole process
  made->is_standard_ = true;
  return *made;
}

file& standard_input() {
  static file& only = file::standard(0, "standard input");
  return only;
}

file& standard_output() {
  static file& only = file::standard(1, "standard output");
  return only;
}

file& standard_error() {
  static file& only = file::standard(2, "standard error");
  return only;
}

}  // namespace coir
