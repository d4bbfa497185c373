// The list of a process's own descriptors in /proc/self/fd, from which programs close or count
// them: the runtime's own are left out, as everywhere.
#include "hooks/preload/preload.hpp"
#include "hooks/threads/descriptors.hpp"

#include <cstdlib>

#include <dirent.h>
#include <sys/statfs.h>

COIR_DEFINE_REAL(readdir);

using namespace coir::hooks;
namespace threads = coir::threads;

namespace {

/// True for an entry that is the runtime's descriptor in some process's list, most likely ours.
bool is_hidden(DIR* directory, const dirent& entry) noexcept {
  if (entry.d_name[0] < '0' || entry.d_name[0] > '9') return false;
  char* end = nullptr;
  const long number = std::strtol(entry.d_name, &end, 10);
  if (*end != '\0' || !threads::is_runtime_descriptor(static_cast<int>(number))) return false;
  struct statfs where {};
  constexpr long proc_magic = 0x9fa0;
  return ::fstatfs(::dirfd(directory), &where) == 0 && where.f_type == proc_magic;
}

}  // namespace

/// hook: files: leaves the runtime's own descriptors out of /proc/self/fd
COIR_HOOK dirent* readdir(DIR* directory) {
  dirent* entry = real::readdir(directory);
  while (entry && threads::current() && is_hidden(directory, *entry))
    entry = real::readdir(directory);
  return entry;
}
static_assert(sizeof(dirent) == sizeof(dirent64));
/// hook: files: leaves the runtime's own descriptors out of /proc/self/fd
COIR_HOOK dirent64* readdir64(DIR* directory) {
  return reinterpret_cast<dirent64*>(readdir(directory));
}
