#include "runtime/io/library_state.hpp"

#include <atomic>

namespace coir::io {
namespace {

constinit std::atomic<library_state*> registered{nullptr};

}  // namespace

void use_library_state(library_state& state) noexcept {
  registered.store(&state, std::memory_order_release);
}

library_state* registered_library_state() noexcept {
  return registered.load(std::memory_order_acquire);
}

}  // namespace coir::io
