/// The libraries of a program, as its dynamic linker finds them.
#pragma once

#include "hooks/launcher/elf_file.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace coir::launcher {

/// One library that a program needs, itself or by way of another.
struct library {
  std::string name;  ///< as it is asked for: libz.so.1
  std::string path;  ///< the file
};

/// All libraries of a program.
struct library_list {
  std::vector<library> found;  ///< without the kernel's vdso and the linker itself
  std::string fault;           ///< why the list could not be made; empty when it could
};

/// Asks the program's own dynamic linker, as ldd does, and gives it a few seconds. It is asked only
/// when its name is that of glibc's, since asking means to run it.
library_list list_libraries(const std::string& program, const std::string& interpreter);

/// True when `file` itself asks for a library whose name starts so.
bool needs_library(const elf_file& file, std::string_view name_start);

/// The version in the text that every libc.so.6 carries ("2.36"); empty when it has none.
std::string glibc_version(const elf_file& libc);

/// libcoir_preload.so: beside the launcher's folder, in the build tree as where it was installed.
/// Empty when missing.
std::string find_preload_library();

}  // namespace coir::launcher
