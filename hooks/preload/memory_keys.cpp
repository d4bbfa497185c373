// Memory with protection keys: the rights to it are a register of the processor, which a switch
// takes along once the program has asked for a key.
#include "hooks/preload/preload.hpp"

#include <sys/mman.h>

COIR_DEFINE_REAL(pkey_alloc);

using namespace coir::hooks;
namespace threads = coir::threads;

namespace {

// Keys that were made before the first thread count, too.
constinit std::atomic<bool> has_keys{false};

}  // namespace

namespace coir::hooks {
void note_memory_keys() noexcept {
  if (has_keys.load(std::memory_order_relaxed)) threads::sched->has_memory_keys.store(true);
}
}  // namespace coir::hooks

/// hook: threads: the rights to memory with keys become each fiber's own
COIR_HOOK int pkey_alloc(unsigned flags, unsigned rights) noexcept {
  const int key = real::pkey_alloc(flags, rights);
  if (key >= 0) {
    has_keys.store(true, std::memory_order_relaxed);
    note_memory_keys();
  }
  return key;
}
