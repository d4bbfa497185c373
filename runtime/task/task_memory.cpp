// Memory of tasks. One thread makes a task and another one ends it, which is what most allocators
// are slowest at. So blocks travel in magazines: a thread fills one with what it frees, leaves it
// in a depot, and whoever needs memory takes it whole (Bonwick and Adams, "Magazines and Vmem",
// 2001). The depot's lock is taken once for a magazine.
//
// Rejected: lists of each thread with a way back for blocks that others free. They need an owner
// for the blocks of a thread that has ended, and nothing is gained: it is the depot that is rarely
// met.
#include <coir/detail/short_lock.hpp>
#include <coir/detail/task.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <utility>

#include <pthread.h>

namespace coir::detail {
namespace {

// A sanitizer is to see each task's memory by itself
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool keeps_blocks = false;
#else
constexpr bool keeps_blocks = true;
#endif

// Blocks have multiples of this size, up to so many
constexpr std::size_t size_step = 64;
constexpr std::size_t kinds = 8;
constexpr std::size_t magazine_size = 32;
// In the depot of a kind; what is more goes back to the allocator
constexpr std::size_t magazines_max = 1024;

struct free_block {
  free_block* next;
  free_block* next_magazine;  ///< in a depot, of the first block
};

struct magazine {
  free_block* first = nullptr;
  std::size_t count = 0;

  void put(void* memory) noexcept {
    first = new (memory) free_block{first, nullptr};
    ++count;
  }
  void* take() noexcept {
    --count;
    return std::exchange(first, first->next);
  }
  void empty_to_allocator() noexcept {
    while (count > 0) ::operator delete(take());
  }
};

/// Full magazines of one kind. Any thread.
class depot {
 public:
  /// Takes over what is in a full magazine; where there is no room for it, frees that.
  void put(magazine& full) noexcept {
    if (std::unique_lock guard(lock_); count_ < magazines_max) {
      full.first->next_magazine = std::exchange(first_, full.first);
      ++count_;
      full = {};
      return;
    }
    full.empty_to_allocator();
  }
  /// Fills an empty magazine; false when there is none.
  bool get(magazine& empty) noexcept {
    const std::lock_guard guard(lock_);
    if (!first_) return false;
    empty = {first_, magazine_size};
    first_ = first_->next_magazine;
    --count_;
    return true;
  }

  void lock() noexcept { lock_.lock(); }
  void unlock() noexcept { lock_.unlock(); }
  void unlock_in_child() noexcept { std::construct_at(&lock_); }

 private:
  short_lock lock_;
  free_block* first_ = nullptr;
  std::size_t count_ = 0;
};

constinit depot depots[kinds];

void hold_depots_over_fork() noexcept {
  static const int installed = pthread_atfork(
      [] {
        for (depot& d : depots) d.lock();
      },
      [] {
        for (depot& d : depots) d.unlock();
      },
      [] {
        for (depot& d : depots) d.unlock_in_child();
      });
  (void)installed;
}

/// A thread's own. It has no room before the first use and after the thread's end.
struct thread_magazines {
  magazine loaded[kinds];
  magazine spare[kinds];  ///< empty or full
  std::size_t room = 0;
  bool is_closed = false;
};

constinit thread_local thread_magazines own;

struct thread_end {
  ~thread_end() {
    own.room = 0;
    own.is_closed = true;
    for (std::size_t kind = 0; kind < kinds; ++kind) {
      own.loaded[kind].empty_to_allocator();
      if (own.spare[kind].count > 0) depots[kind].put(own.spare[kind]);
    }
  }
};

/// False on a thread that ends.
bool open() noexcept {
  if (!keeps_blocks || own.is_closed) return false;
  if (own.room == 0) {
    static thread_local thread_end at_exit;
    (void)&at_exit;
    hold_depots_over_fork();
    own.room = magazine_size;
  }
  return true;
}

[[gnu::noinline]] void* allocate_slowly(std::size_t kind) {
  magazine& m = own.loaded[kind];
  if (open()) {
    if (own.spare[kind].count > 0) {
      std::swap(m, own.spare[kind]);
      return m.take();
    }
    if (depots[kind].get(m)) return m.take();
  }
  return ::operator new((kind + 1) * size_step);
}

[[gnu::noinline]] void free_slowly(void* memory, std::size_t kind) noexcept {
  if (!open()) return ::operator delete(memory);
  magazine& m = own.loaded[kind];
  if (m.count == magazine_size) {
    if (own.spare[kind].count > 0) depots[kind].put(own.spare[kind]);
    std::swap(m, own.spare[kind]);
  }
  m.put(memory);
}

}  // namespace

void* task::operator new(std::size_t size) {
  const std::size_t kind = (size - 1) / size_step;
  if (kind >= kinds) return ::operator new(size);
  magazine& m = own.loaded[kind];
  return m.count > 0 ? m.take() : allocate_slowly(kind);
}

void task::operator delete(void* memory, std::size_t size) noexcept {
  const std::size_t kind = (size - 1) / size_step;
  if (kind >= kinds) return ::operator delete(memory);
  magazine& m = own.loaded[kind];
  m.count < own.room ? m.put(memory) : free_slowly(memory, kind);
}

}  // namespace coir::detail
