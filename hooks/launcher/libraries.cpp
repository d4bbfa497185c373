#include "hooks/launcher/libraries.hpp"

#include "hooks/launcher/captured_run.hpp"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <sstream>

namespace coir::launcher {
namespace {

namespace fs = std::filesystem;

constexpr int patience_ms = 5000;  // a network file system may be slow; a hang is not waited for

bool is_glibcs_linker(const std::string& interpreter) {
  return fs::path(interpreter).filename().string().starts_with("ld-linux");
}

/// One line of the list: "libz.so.1 => /lib/libz.so.1 (0x7f...)". What has no arrow is the vdso,
/// the linker, or a library that is asked for by its path.
void add_line(const std::string& line, std::vector<library>& found) {
  const std::size_t start = line.find_first_not_of(" \t");
  const std::size_t address = line.rfind(" (0x");
  if (start == line.npos || address == line.npos || address <= start) return;
  const std::string text = line.substr(start, address - start);
  if (const std::size_t arrow = text.find(" => "); arrow != text.npos) {
    found.push_back({text.substr(0, arrow), text.substr(arrow + 4)});
  } else if (text.front() == '/' && !is_glibcs_linker(text)) {
    found.push_back({fs::path(text).filename(), text});
  }
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

}  // namespace

library_list list_libraries(const std::string& program, const std::string& interpreter) {
  library_list list;
  if (!is_glibcs_linker(interpreter)) {
    list.fault = interpreter + " is not glibc's dynamic linker, and is not asked";
    return list;
  }
  const captured_run run = run_captured({interpreter, "--list", program}, patience_ms);
  std::istringstream lines(run.output);
  for (std::string line; std::getline(lines, line);) add_line(line, list.found);
  if (run.has_timed_out) {
    list.fault = interpreter + " did not answer in time";
  } else if (run.status != 0) {
    list.fault = "it will not start: " +
                 (run.output.empty() ? interpreter + " could not load it" : first_line(run.output));
  }
  return list;
}

bool needs_library(const elf_file& file, std::string_view name_start) {
  return std::ranges::any_of(file.needed(),
                             [=](std::string_view name) { return name.starts_with(name_start); });
}

std::string glibc_version(const elf_file& libc) {
  constexpr std::string_view banner = "release version ";
  const std::size_t at = libc.bytes().find(banner);
  if (at == libc.bytes().npos) return {};
  std::string version;
  for (const char c : libc.bytes().substr(at + banner.size(), 16)) {
    if (!std::isdigit(static_cast<unsigned char>(c)) && c != '.') break;
    version += c;
  }
  while (version.ends_with('.')) version.pop_back();
  return version;
}

std::string find_preload_library() {
  std::error_code error;
  const fs::path own = fs::read_symlink("/proc/self/exe", error);
  for (const char* folder : {"lib", COIR_LIBRARY_DIRECTORY}) {
    const fs::path path = own.parent_path().parent_path() / folder / "libcoir_preload.so";
    if (fs::exists(path, error)) return path;
  }
  return {};
}

}  // namespace coir::launcher
