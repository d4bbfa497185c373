#include "runtime/reactor/fd_table.hpp"

#include <atomic>
#include <new>

#include <sys/single_threaded.h>

namespace coir::detail::fd_table {
namespace {

struct fd_state {
  std::atomic<std::uint32_t> generation{0};
  std::atomic<std::uint32_t> waiters{0};
};

// Two levels, so that a program with few descriptors pays for few. 16 million numbers: fs.nr_open
// is a million unless somebody raised it.
constexpr int chunk_entries = 4096;
constexpr int chunks_max = 4096;

struct chunk {
  fd_state states[chunk_entries];
};

constinit std::atomic<chunk*> chunks[chunks_max];
constinit std::atomic<int> highest_end{0};

fd_state* find(int fd) noexcept {
  if (fd < 0 || fd >= chunk_entries * chunks_max) return nullptr;
  chunk* c = chunks[fd / chunk_entries].load(std::memory_order_acquire);
  return c ? &c->states[fd % chunk_entries] : nullptr;
}

/// Null when the number is out of range, or without memory: that descriptor then goes without the
/// protection.
fd_state* find_or_make(int fd) noexcept {
  if (fd_state* s = find(fd)) return s;
  if (fd < 0 || fd >= chunk_entries * chunks_max) return nullptr;
  auto* fresh = new (std::nothrow) chunk;
  if (!fresh) return nullptr;
  chunk* expected = nullptr;
  if (!chunks[fd / chunk_entries].compare_exchange_strong(expected, fresh)) delete fresh;
  return find(fd);
}

void add(std::atomic<std::uint32_t>& count, std::uint32_t change) noexcept {
  if (__libc_single_threaded) {
    count.store(count.load(std::memory_order_relaxed) + change, std::memory_order_relaxed);
  } else {
    count.fetch_add(change, std::memory_order_acq_rel);
  }
}

}  // namespace

std::uint32_t generation(int fd) noexcept {
  fd_state* s = find(fd);
  return s ? s->generation.load(std::memory_order_acquire) : 0;
}

void advance_generation(int fd) noexcept {
  if (fd_state* s = find(fd)) add(s->generation, 1);  // no state: nobody ever waited for it
}

void add_waiter(int fd) noexcept {
  fd_state* s = find_or_make(fd);
  if (!s) return;
  add(s->waiters, 1);
  int seen = highest_end.load(std::memory_order_relaxed);
  while (fd >= seen && !highest_end.compare_exchange_weak(seen, fd + 1)) {
  }
}

void remove_waiter(int fd) noexcept {
  if (fd_state* s = find(fd)) add(s->waiters, std::uint32_t(-1));
}

std::uint32_t waiters(int fd) noexcept {
  fd_state* s = find(fd);
  return s ? s->waiters.load(std::memory_order_acquire) : 0;
}

int end() noexcept { return highest_end.load(std::memory_order_acquire); }

}  // namespace coir::detail::fd_table
