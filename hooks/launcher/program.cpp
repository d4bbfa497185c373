// Preloading is the dynamic linker's work: it needs a program that names an interpreter
// (PT_INTERP), is of our own machine type, and gains no privileges when it starts, for the linker
// ignores LD_PRELOAD in one that does.
#include "hooks/launcher/program.hpp"

#include <array>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <vector>

#include <elf.h>
#include <link.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

namespace coir::launcher {
namespace {

constexpr int interpreters_max = 4;  // as the kernel: a script may be the interpreter of a script

#if defined(__x86_64__)
constexpr unsigned own_machine = EM_X86_64;
#elif defined(__aarch64__)
constexpr unsigned own_machine = EM_AARCH64;
#endif

bool is_executable_file(const std::string& path) {
  struct stat facts;
  return stat(path.c_str(), &facts) == 0 && S_ISREG(facts.st_mode) &&
         access(path.c_str(), X_OK) == 0;
}

/// The interpreter in a `#!` line; empty when there is none.
std::string interpreter_of(const std::string& head) {
  if (!head.starts_with("#!")) return {};
  std::istringstream line(head.substr(2, head.find('\n') - 2));
  std::string interpreter;
  line >> interpreter;
  return interpreter;
}

bool gains_privileges(const std::string& path) {
  struct stat facts;
  if (stat(path.c_str(), &facts) != 0) return false;
  const bool changes_user = (facts.st_mode & S_ISUID) && facts.st_uid != geteuid();
  const bool changes_group = (facts.st_mode & S_ISGID) && facts.st_gid != getegid();
  const bool has_capabilities =
      geteuid() != 0 && getxattr(path.c_str(), "security.capability", nullptr, 0) > 0;
  return changes_user || changes_group || has_capabilities;
}

bool names_dynamic_linker(std::ifstream& file, const ElfW(Ehdr) & header) {
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    ElfW(Phdr) segment;
    file.seekg(static_cast<std::streamoff>(header.e_phoff + i * header.e_phentsize));
    if (!file.read(reinterpret_cast<char*>(&segment), sizeof segment)) return false;
    if (segment.p_type == PT_INTERP) return true;
  }
  return false;
}

std::optional<refusal> judge_elf(const std::string& path, std::ifstream& file) {
  ElfW(Ehdr) header;
  file.clear();
  file.seekg(0);
  if (!file.read(reinterpret_cast<char*>(&header), sizeof header)) {
    return refusal{path + " is not a whole ELF file", exit_cannot_run};
  }
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != own_machine) {
    return refusal{
        path + " is built for another machine type than coir, and cannot load its library",
        exit_cannot_run};
  }
  if (!names_dynamic_linker(file, header)) {
    return refusal{path +
                       " is statically linked: no dynamic linker runs that could preload a "
                       "library, and its calls "
                       "do not go through a C library that could be hooked",
                   exit_cannot_run};
  }
  if (gains_privileges(path)) {
    return refusal{
        path +
            " is setuid, setgid or has capabilities: the dynamic linker ignores LD_PRELOAD there",
        exit_cannot_run};
  }
  return std::nullopt;
}

}  // namespace

std::string find_program(const std::string& name) {
  if (name.find('/') != std::string::npos)
    return access(name.c_str(), F_OK) == 0 ? name : std::string();
  const char* path = std::getenv("PATH");
  std::istringstream folders(path ? path : "/usr/local/bin:/usr/bin:/bin");
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::string candidate = (folder.empty() ? "." : folder) + "/" + name;
    if (is_executable_file(candidate)) return candidate;
  }
  return {};
}

std::optional<refusal> find_refusal(const std::string& path) {
  std::string program = path;
  for (int depth = 0; depth <= interpreters_max; ++depth) {
    if (access(program.c_str(), F_OK) != 0) {
      return refusal{program + ", the interpreter of " + path + ", does not exist",
                     exit_cannot_run};
    }
    if (!is_executable_file(program)) {
      return refusal{program + " is not an executable file", exit_cannot_run};
    }
    std::ifstream file(program, std::ios::binary);
    // One that may be run but not read cannot be judged; the dynamic linker will.
    if (!file) return std::nullopt;
    std::array<char, 256> buffer{};
    file.read(buffer.data(), buffer.size());
    const std::string head(buffer.data(), static_cast<std::size_t>(file.gcount()));
    if (head.starts_with(ELFMAG)) return judge_elf(program, file);
    program = interpreter_of(head);
    if (program.empty()) {
      return refusal{path + " is neither an ELF program nor a script with a #! line",
                     exit_cannot_run};
    }
  }
  return refusal{path + " is a script whose interpreters never end in a program", exit_cannot_run};
}

}  // namespace coir::launcher
