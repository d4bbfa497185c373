// Preloading is the dynamic linker's work: it needs a program that names an interpreter
// (PT_INTERP), is of our own machine type, and gains no privileges when it starts, for the linker
// ignores LD_PRELOAD in one that does. The library that is preloaded needs glibc. And a program
// must not have a second idea of what a thread is: Go makes its threads' waits inline, and the
// sanitizers keep a shadow of each thread.
#include "hooks/launcher/program.hpp"

#include "hooks/launcher/libraries.hpp"

#include <cstdlib>
#include <sstream>
#include <string_view>

#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

namespace coir::launcher {
namespace {

constexpr int interpreters_max = 4;  // as the kernel: a script may be the interpreter of a script
constexpr std::size_t first_line_max = 256;  // as the kernel's BINPRM_BUF_SIZE

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

bool is_env(std::string_view path) { return path == "env" || path.ends_with("/env"); }

/// The program that a `#!` line runs: its interpreter, or what `env` is going to look for in PATH,
/// when that is simply a name. Empty when there is no such line.
std::string interpreter_of(std::string_view head) {
  if (!head.starts_with("#!")) return {};
  std::istringstream line(std::string(head.substr(2, head.find('\n') - 2)));
  std::string interpreter, name;
  line >> interpreter;
  if (!is_env(interpreter) || !(line >> name)) return interpreter;
  if (name == "-S") line >> name;
  const std::string found = find_program(name);
  return found.empty() ? interpreter : found;
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

bool is_go(const elf_file& file) {
  return file.has_section(".go.buildinfo") || file.has_section(".note.go.buildid") ||
         file.has_note("Go");
}

std::string why_static(const elf_file& file) {
  std::string reason =
      file.is_static_pie() ? " is statically linked (static-pie)" : " is statically linked";
  if (is_go(file)) reason += ", by Go";
  return reason +
         ": no dynamic linker runs that could preload a library, and its calls do not go through "
         "a C library that could be hooked";
}

/// What is wrong with the file itself, as the end of a sentence about it; empty when nothing is.
std::string fault_of_format(const elf_file& file) {
  if (file.bytes().size() < sizeof(Elf64_Ehdr)) return " is not a whole ELF file";
  if (!file.has_header() || file.machine() != own_machine)
    return " is built for another machine type than coir, and cannot load its library";
  if (!file.has_whole_segments())
    return " is not a whole ELF file: its program headers are cut off";
  return {};
}

/// What keeps the hooks from reaching it, whatever its threads become.
std::string fault_of_loading(const std::string& path, const elf_file& file) {
  if (file.interpreter().empty()) return why_static(file);
  if (file.interpreter().find("ld-musl") != std::string_view::npos)
    return " is linked with musl: coir's library needs glibc";
  if (gains_privileges(path))
    return " is setuid, setgid or has capabilities: the dynamic linker ignores LD_PRELOAD there";
  if (needs_library(file, "libasan.so") || needs_library(file, "libhwasan.so"))
    return " is linked with the address sanitizer, which wants to be the first library and ends "
           "the process otherwise; use --mode=off";
  return {};
}

/// What keeps its threads from becoming fibers.
std::string fault_of_threads(const elf_file& file) {
  if (is_go(file))
    return " is a Go program: its threads wait by system calls of their own, and would hang as "
           "fibers; use --mode=thread or --mode=off";
  if (needs_library(file, "libtsan.so"))
    return " is linked with the thread sanitizer, which keeps a shadow of each kernel thread; use "
           "--mode=thread or --mode=off";
  return {};
}

std::string fault_of_binary(const std::string& path, const elf_file& file, thread_mode mode) {
  std::string fault = fault_of_format(file);
  if (fault.empty() && mode != thread_mode::off) fault = fault_of_loading(path, file);
  if (fault.empty() && mode == thread_mode::fiber) fault = fault_of_threads(file);
  return fault;
}

std::string join(const program& found) {
  return found.scripts.empty() ? found.binary : found.binary + ", which runs " + found.path + ",";
}

std::optional<refusal> cannot_run(std::string reason) {
  return refusal{std::move(reason), exit_cannot_run};
}

/// Follows the scripts to the program that runs them, and opens that.
std::optional<refusal> resolve(program& found) {
  std::string next = found.path;
  for (int depth = 0; depth <= interpreters_max; ++depth) {
    if (access(next.c_str(), F_OK) != 0)
      return cannot_run(next + ", the interpreter of " + found.path + ", does not exist");
    if (!is_executable_file(next)) return cannot_run(next + " is not an executable file");
    std::optional<elf_file> file = elf_file::open(next);
    // One that may be run but not read cannot be judged; the dynamic linker will.
    const bool is_unreadable = !file && access(next.c_str(), R_OK) != 0;
    if (is_unreadable || (file && file->has_magic())) {
      found.binary = next;
      if (file) found.file.emplace(std::move(*file));
      return std::nullopt;
    }
    found.scripts.push_back(next);
    next = interpreter_of(file ? file->bytes().substr(0, first_line_max) : std::string_view());
    if (next.empty())
      return cannot_run(found.path + " is neither an ELF program nor a script with a #! line");
  }
  return cannot_run(found.path + " is a script whose interpreters never end in a program");
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

program judge(const std::string& name, thread_mode mode) {
  program found;
  found.path = find_program(name);
  if (found.path.empty()) {
    found.path = name;
    found.why_not = refusal{name + ": there is no such program", exit_not_found};
    return found;
  }
  found.why_not = resolve(found);
  if (found.why_not || !found.file) return found;
  const std::string fault = fault_of_binary(found.binary, *found.file, mode);
  if (!fault.empty()) found.why_not = cannot_run(join(found) + fault);
  return found;
}

}  // namespace coir::launcher
