#include "net/record_buffer.hpp"

#include <new>
#include <utility>

namespace coir::net::detail {
namespace {

enum class phase { unused, idle, lent, over };

// Without destructors, so that they can be asked at the very end of a thread.
thread_local constinit phase state = phase::unused;
thread_local constinit record_buffer* kept = nullptr;

/// Frees the buffer with the thread.
struct thread_end {
  bool is_needed = false;
  ~thread_end() {
    state = phase::over;
    delete std::exchange(kept, nullptr);
  }
};

}  // namespace

record_buffer* record_buffer::borrow() noexcept {
  if (state == phase::unused) {
    static thread_local thread_end at_end;
    at_end.is_needed = true;
    state = phase::idle;
  }
  if (state != phase::idle) return nullptr;
  if (!kept) kept = new (std::nothrow) record_buffer;
  if (kept) state = phase::lent;
  return kept;
}

void record_buffer::give_back() noexcept {
  clear();
  state = phase::idle;
}

}  // namespace coir::net::detail
